"""The api over http.client: starts fast, retries while the api is being restarted, turns problems into CliErrors."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

from orchestrator_cli.errors import (
    CliError,
    InTheWay,
    JsonObject,
    JsonValue,
    NotAllowed,
    RowMissing,
    Unreachable,
    UsageFault,
)
from orchestrator_cli.settings import CliSettings

REQUEST_SECONDS = 15.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})
_LEAVES: dict[int, type[CliError]] = {
    400: UsageFault,
    401: NotAllowed,
    403: NotAllowed,
    404: RowMissing,
    409: InTheWay,
    422: UsageFault,
}


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    body: JsonObject | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    body: bytes
    retry_after: str | None


class HttpGateway:
    """Speaks to the api at `settings.api_url`; every request may be repeated, writes by their idempotency key."""

    def __init__(self, settings: CliSettings) -> None:
        parts = urlsplit(settings.api_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageFault(f"API_URL must look like http://host:port, not {settings.api_url!r}")
        self._is_secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port
        self._root = parts.path.rstrip("/").removesuffix("/api")
        self._settings = settings

    async def create_project(self, body: JsonObject, *, idempotency_key: str) -> JsonObject:
        return _row(await self._ask(_Request("POST", "/api/projects", body, idempotency_key)))

    async def get_project(self, project_id: str) -> JsonObject:
        return _row(await self._ask(_Request("GET", f"/api/projects/{_segment(project_id)}")))

    async def list_projects(self, *, name: str | None = None) -> list[JsonObject]:
        return _rows(await self._ask(_Request("GET", "/api/projects" + _query(name=name))))

    async def create_task(self, body: JsonObject, *, idempotency_key: str) -> JsonObject:
        return _row(await self._ask(_Request("POST", "/api/tasks", body, idempotency_key)))

    async def get_task(self, task_id: str) -> JsonObject:
        return _row(await self._ask(_Request("GET", f"/api/tasks/{_segment(task_id)}")))

    async def list_tasks(self, *, project_id: str | None = None) -> list[JsonObject]:
        return _rows(await self._ask(_Request("GET", "/api/tasks" + _query(project_id=project_id))))

    async def list_runs(self, *, task_id: str) -> list[JsonObject]:
        return _rows(await self._ask(_Request("GET", "/api/runs" + _query(task_id=task_id))))

    async def list_servers(self) -> list[JsonObject]:
        return _rows(await self._ask(_Request("GET", "/api/servers")))

    async def list_incidents(self) -> list[JsonObject]:
        return _rows(await self._ask(_Request("GET", "/api/incidents")))

    async def health(self) -> JsonValue:
        return await self._ask(_Request("GET", "/health"))

    async def _ask(self, request: _Request) -> JsonValue:
        """Send a request until it is answered or the time for retries is over."""
        until = time.monotonic() + self._settings.api_retry_seconds
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                response = await asyncio.to_thread(self._send, request)
                if response.status not in RETRIED_STATUSES:
                    return _read(response)
                reason, wait = f"it answered {response.status}", _retry_after(response, pause)
            except (OSError, http.client.HTTPException) as error:
                reason, wait = str(error) or type(error).__name__, pause
            if time.monotonic() + wait > until:
                raise Unreachable(
                    f"the api at {self._host}:{self._port or ''} does not answer ({reason}); try again in a moment"
                )
            await asyncio.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _send(self, request: _Request) -> _Response:
        kind = http.client.HTTPSConnection if self._is_secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=REQUEST_SECONDS)
        try:
            content = None if request.body is None else json.dumps(request.body).encode()
            connection.request(request.method, self._root + request.path, body=content, headers=self._headers(request))
            response = connection.getresponse()
            return _Response(response.status, response.read(), response.getheader("Retry-After"))
        finally:
            connection.close()

    def _headers(self, request: _Request) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if self._settings.api_token:
            headers["Authorization"] = f"Bearer {self._settings.api_token}"
        if self._settings.correlation_id:
            headers["X-Correlation-ID"] = self._settings.correlation_id
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        if request.idempotency_key:
            headers["Idempotency-Key"] = request.idempotency_key
        return headers


def _segment(value: str) -> str:
    return quote(value, safe="")


def _query(**filters: str | None) -> str:
    given = {name: value for name, value in filters.items() if value is not None}
    return "?" + urlencode(given) if given else ""


def _retry_after(response: _Response, pause: float) -> float:
    try:
        return max(float(response.retry_after or ""), pause)
    except ValueError:
        return pause


def _read(response: _Response) -> JsonValue:
    """Return the answer's JSON, or raise what its problem document means."""
    try:
        value: JsonValue = json.loads(response.body) if response.body else None
    except ValueError:
        value = None
    if response.status < 300:
        return value
    problem = value if isinstance(value, dict) else {}
    leaf = _LEAVES.get(response.status, CliError)
    raise leaf(_words(problem, response.status, leaf), {"status": response.status, "problem": problem})


def _words(problem: JsonObject, status: int, leaf: type[CliError]) -> str:
    """Return a problem in words, with the fields it names."""
    text = str(problem.get("detail") or problem.get("title") or f"the api answered {status}")
    errors = problem.get("errors")
    fields = [e for e in errors if isinstance(e, dict)] if isinstance(errors, list) else []
    if fields:
        text += ": " + "; ".join(f"{e.get('field')}: {e.get('message')}" for e in fields)
    return f"permission denied: {text}" if leaf is NotAllowed else text


def _row(value: JsonValue) -> JsonObject:
    if not isinstance(value, dict):
        raise CliError("the api answered with something that is not a row")
    return value


def _rows(value: JsonValue) -> list[JsonObject]:
    if not isinstance(value, list):
        raise CliError("the api answered with something that is not a list")
    return [row for row in value if isinstance(row, dict)]
