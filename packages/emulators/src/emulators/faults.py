"""Faults on demand, a request log and /livez around any emulated API, as one pure ASGI wrapper.

It knows nothing of the API it wraps; a fault is queued over HTTP and used up by the requests it matches.
"""

import asyncio
import json
import re
import sys
import time
from collections import deque
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

KEPT_REQUESTS = 2000
# What an emulator answers to nobody: the client has left, nothing failed.
CLIENT_LEFT = 499
BOT_TOKEN = re.compile(r"/bot[^/]+/")


class FaultMatch(BaseModel):
    """Which requests a fault hits: both parts must agree, an absent part always does."""

    model_config = ConfigDict(extra="forbid")

    method: str | None = None
    path: str | None = None

    @model_validator(mode="after")
    def _path_is_a_regex(self) -> Self:
        try:
            re.compile(self.path or "")
        except re.error as error:
            raise ValueError(f"path is not a regular expression: {error}") from error
        return self

    def hits(self, method: str, path: str) -> bool:
        """Tell whether a request is meant; path is searched, not anchored."""
        if self.method is not None and self.method.upper() != method:
            return False
        return self.path is None or re.search(self.path, path) is not None


class Fault(BaseModel):
    """One queued fault.

    status: answered without reaching the API. delay: waits, then goes on. cut: the connection breaks, before the
    API saw the request, or, with cut_after_bytes, after it did its work and that much of the body was sent.
    duplicate: the API gets the request twice and the second answer is sent.
    """

    model_config = ConfigDict(extra="forbid")

    match: FaultMatch = FaultMatch()
    kind: Literal["status", "delay", "cut", "duplicate"]
    status: int = Field(default=500, ge=200, le=599)
    body: Any = None
    headers: dict[str, str] = {}
    delay_seconds: float = Field(default=1.0, ge=0)
    cut_after_bytes: int | None = Field(default=None, ge=0)
    skip: int = Field(default=0, ge=0)
    times: int = Field(default=1, ge=1)


_FAULTS = TypeAdapter(list[Fault] | Fault)


class RequestRecord(BaseModel):
    """One request that reached the emulator; status None means no answer was finished."""

    id: int
    ts: float
    method: str
    path: str
    query: str
    status: int | None = None
    duration_ms: float | None = None
    fault: str | None = None


class _Cut(Exception):
    """Stops the wrapped application once its answer is to be lost."""


class FaultMiddleware:
    """Wraps an ASGI application; serves /livez, /_emulator/faults and /_emulator/requests itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._faults: list[Fault] = []
        self._records: deque[RequestRecord] = deque(maxlen=KEPT_REQUESTS)
        self._last_id = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        control = await self._control(Request(scope, receive))
        if control is not None:
            await control(scope, receive, send)
        elif scope["path"].startswith("/_emulator/"):
            await self._app(scope, receive, send)
        else:
            await self._recorded(scope, receive, send)

    async def _control(self, request: Request) -> Response | None:
        path, method = request.url.path, request.method
        if path == "/livez":
            return JSONResponse({"status": "ok"})
        if path == "/_emulator/requests":
            return self._requests(request)
        if path != "/_emulator/faults":
            return None
        if method == "POST":
            return self._queue(await request.body())
        if method == "DELETE":
            self._faults.clear()
        return JSONResponse([fault.model_dump() for fault in self._faults])

    def _requests(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._records.clear()
        given = request.query_params.get("after", "0")
        if not given.isdecimal():
            return JSONResponse({"error": f"after is the id of a request, a number, not {given!r}"}, status_code=422)
        after = int(given)
        return JSONResponse([record.model_dump() for record in self._records if record.id > after])

    def _queue(self, body: bytes) -> Response:
        try:
            parsed = _FAULTS.validate_json(body)
        except ValidationError as error:
            return JSONResponse({"error": error.errors(include_url=False, include_context=False)}, status_code=422)
        faults = parsed if isinstance(parsed, list) else [parsed]
        self._faults.extend(faults)
        return JSONResponse([fault.model_dump() for fault in faults], status_code=201)

    def _take(self, method: str, path: str) -> Fault | None:
        for fault in self._faults:
            if not fault.match.hits(method, path):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.times -= 1
            if not fault.times:
                self._faults.remove(fault)
            return fault
        return None

    async def _recorded(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._last_id += 1
        method, path = scope["method"], scope["path"]
        query = scope["query_string"].decode("latin-1")
        record = RequestRecord(id=self._last_id, ts=time.time(), method=method, path=path, query=query)
        self._records.append(record)
        fault = self._take(method, path)
        started = time.monotonic()

        async def noting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
            await send(message)

        try:
            if fault is None:
                await self._app(scope, receive, noting_send)
            else:
                record.fault = fault.kind
                await self._faulty(fault, scope, receive, noting_send)
        except Exception as error:
            _log_failure(record, repr(error))
            raise
        finally:
            record.duration_ms = round((time.monotonic() - started) * 1000, 2)
        if record.fault == "cut":
            record.status = None
        if record.status is None or (record.status >= 400 and record.status != CLIENT_LEFT):
            _log_failure(record, None)

    async def _faulty(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.kind == "status":
            await _answer(fault)(scope, receive, send)
        elif fault.kind == "delay":
            await asyncio.sleep(fault.delay_seconds)
            await self._app(scope, receive, send)
        elif fault.kind == "duplicate":
            await self._twice(scope, receive, send)
        elif fault.cut_after_bytes is None:
            await _break_off(scope, receive, send)
        else:
            await _cut_answer(self._app, fault.cut_after_bytes, scope, receive, send)

    async def _twice(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()

        async def ignore(message: Message) -> None:
            """Drop the first answer."""

        await self._app(dict(scope), _replaying(body, receive), ignore)
        await self._app(dict(scope), _replaying(body, receive), send)


async def _cut_answer(app: ASGIApp, keep_bytes: int, scope: Scope, receive: Receive, send: Send) -> None:
    left = keep_bytes

    async def cutting_send(message: Message) -> None:
        nonlocal left
        if message["type"] != "http.response.body":
            await send(message)
            return
        body = message.get("body", b"")
        await send({"type": "http.response.body", "body": body[:left], "more_body": True})
        left -= len(body[:left])
        if not left and (body or not message.get("more_body", False)):
            raise _Cut

    try:
        await app(scope, receive, cutting_send)
    except _Cut:
        return


def _answer(fault: Fault) -> Response:
    if isinstance(fault.body, str):
        return Response(fault.body, fault.status, fault.headers)
    return JSONResponse(fault.body if fault.body is not None else {}, fault.status, fault.headers)


async def _break_off(scope: Scope, receive: Receive, send: Send) -> None:
    # A request body left unread would reset the connection before the client has read the status.
    await Request(scope, receive).body()
    # An ASGI application cannot close a socket; a promised body that never comes makes the server do it.
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1048576")]})
    await send({"type": "http.response.body", "body": b"", "more_body": True})


def _replaying(body: bytes, receive: Receive) -> Receive:
    delivered = False

    async def replay() -> Message:
        nonlocal delivered
        if delivered:
            return await receive()
        delivered = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _log_failure(record: RequestRecord, error: str | None) -> None:
    line = {"event": "request failed", **record.model_dump(exclude_none=True)}
    line["path"] = BOT_TOKEN.sub("/bot***/", record.path)
    if error is not None:
        line["error"] = error
    sys.stderr.write(json.dumps(line) + "\n")
