"""The api over HTTP: one method per route, retries inside a budget, problem documents as error leaves.

Every write is repeatable (by its key, by nature, or by the Idempotency-Key sent with each POST), so all are retried.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError
from pydantic_core import from_json

from shared.clients.errors import ApiError, Unavailable
from shared.clients.http import HttpClient, QueryValue
from shared.contracts.base import new_id
from shared.contracts.dto import accounts, infrastructure, work
from shared.contracts.dto.problem import Problem
from shared.contracts.vocabulary import (
    ChatDirection,
    ChatMessageState,
    DeadLetterState,
    ServerStatus,
    TaskStatus,
    WaitKind,
)

T = TypeVar("T", bound=BaseModel)
IDEMPOTENCY_HEADER = "Idempotency-Key"
_EVENTS: TypeAdapter[list[work.RunEventAppend]] = TypeAdapter(list[work.RunEventAppend])
Filter = str | int | float | bool | StrEnum | None


def _query(filters: Mapping[str, Filter]) -> dict[str, QueryValue]:
    return {name: value for name, value in filters.items() if value is not None}


def _error_of(response: httpx.Response) -> ApiError:
    """Return the leaf for an answer other than 2xx, whoever wrote it: a proxy in between knows no problem documents."""
    try:
        problem = Problem.model_validate_json(response.content, extra="ignore")
    except ValidationError:
        problem = Problem(title=response.reason_phrase or "error", status=response.status_code, code="http_error")
    error = ApiError.from_problem(problem)
    retry_after = response.headers.get("Retry-After", "")
    if retry_after.isdigit():
        error.retry_after_seconds = float(retry_after)
    return error


def _rows(model: type[T], response: httpx.Response) -> list[T]:
    return [model.model_validate(row, extra="ignore") for row in from_json(response.content)]


class ApiClient:
    """The `Api` port over HTTP."""

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        retry_seconds: float = 30.0,
        timeout_seconds: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = HttpClient(
            base_url,
            headers={"Authorization": f"Bearer {token}"},
            retry_seconds=retry_seconds,
            timeout_seconds=timeout_seconds,
            transport=transport,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> ApiClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _send(
        self,
        method: str,
        path: str,
        *,
        body: BaseModel | bytes | None = None,
        filters: Mapping[str, Filter] | None = None,
        key: str | None = None,
        timeout_seconds: float | None = None,
    ) -> httpx.Response:
        headers: dict[str, str] = {}
        content = body.model_dump_json(exclude_unset=True).encode() if isinstance(body, BaseModel) else body
        if content is not None:
            headers["Content-Type"] = "application/json"
        if method == "POST":
            headers[IDEMPOTENCY_HEADER] = key or new_id()
        url = path if path.startswith("/api/") else f"/api/{path}"
        try:
            response = await self._http.request(
                method,
                url,
                params=_query(filters or {}),
                content=content,
                headers=headers,
                timeout_seconds=timeout_seconds,
            )
        except httpx.TransportError as error:
            raise Unavailable(f"no answer from the api: {type(error).__name__} {error}".strip()) from error
        if not response.is_success:
            raise _error_of(response)
        return response

    async def _one(
        self,
        model: type[T],
        method: str,
        path: str,
        body: BaseModel | bytes | None = None,
        *,
        key: str | None = None,
    ) -> T:
        response = await self._send(method, path, body=body, key=key)
        return model.model_validate_json(response.content, extra="ignore")

    async def _list(self, model: type[T], path: str, **filters: Filter) -> list[T]:
        """Return every page: the cursor travels in the Link header."""
        response = await self._send("GET", path, filters=filters)
        rows = _rows(model, response)
        while (following := response.links.get("next")) is not None:
            response = await self._send("GET", following["url"])
            rows += _rows(model, response)
        return rows

    # projects and tasks
    async def create_project(self, body: work.ProjectCreate, *, idempotency_key: str | None = None) -> work.ProjectDTO:
        return await self._one(work.ProjectDTO, "POST", "projects", body, key=idempotency_key)

    async def get_project(self, project_id: str) -> work.ProjectDTO:
        return await self._one(work.ProjectDTO, "GET", f"projects/{_id(project_id)}")

    async def list_projects(self, *, owner_id: str | None = None, name: str | None = None) -> list[work.ProjectDTO]:
        return await self._list(work.ProjectDTO, "projects", owner_id=owner_id, name=name)

    async def update_project(self, project_id: str, body: work.ProjectUpdate) -> work.ProjectDTO:
        return await self._one(work.ProjectDTO, "PATCH", f"projects/{_id(project_id)}", body)

    async def create_task(self, body: work.TaskCreate, *, idempotency_key: str | None = None) -> work.TaskDTO:
        return await self._one(work.TaskDTO, "POST", "tasks", body, key=idempotency_key)

    async def get_task(self, task_id: str) -> work.TaskDTO:
        return await self._one(work.TaskDTO, "GET", f"tasks/{_id(task_id)}")

    async def list_tasks(
        self, *, project_id: str | None = None, owner_id: str | None = None, status: TaskStatus | None = None
    ) -> list[work.TaskDTO]:
        return await self._list(work.TaskDTO, "tasks", project_id=project_id, owner_id=owner_id, status=status)

    async def update_task(self, task_id: str, body: work.TaskUpdate) -> work.TaskDTO:
        return await self._one(work.TaskDTO, "PATCH", f"tasks/{_id(task_id)}", body)

    # runs
    async def create_run(self, body: work.RunCreate) -> work.RunDTO:
        return await self._one(work.RunDTO, "POST", "runs", body)

    async def get_run(self, run_id: str) -> work.RunDTO:
        return await self._one(work.RunDTO, "GET", f"runs/{_id(run_id)}")

    async def list_runs(
        self,
        *,
        task_id: str | None = None,
        project_id: str | None = None,
        owner_id: str | None = None,
        is_final: bool | None = None,
        wait_kind: WaitKind | None = None,
        is_due: bool | None = None,
        has_live_lease: bool | None = None,
    ) -> list[work.RunDTO]:
        return await self._list(
            work.RunDTO,
            "runs",
            task_id=task_id,
            project_id=project_id,
            owner_id=owner_id,
            is_final=is_final,
            wait_kind=wait_kind,
            is_due=is_due,
            has_live_lease=has_live_lease,
        )

    async def claim_run(self, run_id: str, body: work.RunClaim) -> work.RunDTO:
        return await self._one(work.RunDTO, "POST", f"runs/{_id(run_id)}/claim", body)

    async def renew_run(self, run_id: str, body: work.RunRenew) -> work.RunDTO:
        return await self._one(work.RunDTO, "POST", f"runs/{_id(run_id)}/renew", body)

    async def release_run(self, run_id: str, body: work.RunRelease) -> work.RunDTO:
        return await self._one(work.RunDTO, "POST", f"runs/{_id(run_id)}/release", body)

    async def transition(self, run_id: str, body: work.TransitionRequest) -> work.RunDTO:
        return await self._one(work.RunDTO, "POST", f"runs/{_id(run_id)}/transitions", body)

    async def cancel_run(self, run_id: str, reason: str) -> work.RunDTO:
        return await self._one(work.RunDTO, "POST", f"runs/{_id(run_id)}/cancel", work.RunCancel(reason=reason))

    async def wait_run(self, run_id: str, timeout_seconds: float) -> work.RunDTO:
        """Return the run as soon as it is final, or as it is after the timeout."""
        response = await self._send(
            "GET",
            f"runs/{_id(run_id)}/wait",
            filters={"timeout_seconds": timeout_seconds},
            timeout_seconds=timeout_seconds + 10.0,
        )
        return work.RunDTO.model_validate_json(response.content, extra="ignore")

    async def append_events(self, run_id: str, events: list[work.RunEventAppend]) -> list[work.RunEventDTO]:
        content = _EVENTS.dump_json(list(events), exclude_unset=True)
        response = await self._send("POST", f"runs/{_id(run_id)}/events", body=content)
        return _rows(work.RunEventDTO, response)

    async def list_events(self, run_id: str, *, from_seq: int = 1) -> list[work.RunEventDTO]:
        return await self._list(work.RunEventDTO, f"runs/{_id(run_id)}/events", from_seq=from_seq)

    async def add_evidence(self, run_id: str, body: work.EvidenceCreate) -> work.EvidenceDTO:
        return await self._one(work.EvidenceDTO, "POST", f"runs/{_id(run_id)}/evidence", body)

    async def list_evidence(self, run_id: str) -> list[work.EvidenceDTO]:
        return await self._list(work.EvidenceDTO, f"runs/{_id(run_id)}/evidence")

    async def record_execution(self, body: work.TaskExecutionCreate) -> work.TaskExecutionDTO:
        return await self._one(work.TaskExecutionDTO, "POST", "task-executions", body)

    async def list_executions(
        self, *, run_id: str | None = None, project_id: str | None = None, owner_id: str | None = None
    ) -> list[work.TaskExecutionDTO]:
        return await self._list(
            work.TaskExecutionDTO, "task-executions", run_id=run_id, project_id=project_id, owner_id=owner_id
        )

    # people
    async def upsert_user(self, body: accounts.UserUpsert) -> accounts.UserDTO:
        return await self._one(accounts.UserDTO, "POST", "users", body)

    async def get_user(self, user_id: str) -> accounts.UserDTO:
        return await self._one(accounts.UserDTO, "GET", f"users/{_id(user_id)}")

    async def list_users(self, *, telegram_id: int | None = None) -> list[accounts.UserDTO]:
        return await self._list(accounts.UserDTO, "users", telegram_id=telegram_id)

    async def create_chat_message(self, body: accounts.ChatMessageCreate) -> accounts.ChatMessageDTO:
        return await self._one(accounts.ChatMessageDTO, "POST", "chat-messages", body)

    async def update_chat_message(self, message_id: int, body: accounts.ChatMessageUpdate) -> accounts.ChatMessageDTO:
        return await self._one(accounts.ChatMessageDTO, "PATCH", f"chat-messages/{message_id}", body)

    async def list_chat_messages(
        self,
        *,
        user_id: str | None = None,
        direction: ChatDirection | None = None,
        state: ChatMessageState | None = None,
        request_id: str | None = None,
        dedupe_key: str | None = None,
    ) -> list[accounts.ChatMessageDTO]:
        return await self._list(
            accounts.ChatMessageDTO,
            "chat-messages",
            user_id=user_id,
            direction=direction,
            state=state,
            request_id=request_id,
            dedupe_key=dedupe_key,
        )

    # infrastructure
    async def create_server(self, body: infrastructure.ServerCreate) -> infrastructure.ServerDTO:
        return await self._one(infrastructure.ServerDTO, "POST", "servers", body)

    async def list_servers(self, *, status: ServerStatus | None = None) -> list[infrastructure.ServerDTO]:
        return await self._list(infrastructure.ServerDTO, "servers", status=status)

    async def get_server(self, handle: str) -> infrastructure.ServerDTO:
        return await self._one(infrastructure.ServerDTO, "GET", f"servers/{_id(handle)}")

    async def update_server(self, handle: str, body: infrastructure.ServerUpdate) -> infrastructure.ServerDTO:
        return await self._one(infrastructure.ServerDTO, "PATCH", f"servers/{_id(handle)}", body)

    async def allocate(self, body: infrastructure.AllocationCreate) -> infrastructure.AllocationDTO:
        return await self._one(infrastructure.AllocationDTO, "POST", "allocations", body)

    async def list_allocations(self, *, project_id: str | None = None) -> list[infrastructure.AllocationDTO]:
        return await self._list(infrastructure.AllocationDTO, "allocations", project_id=project_id)

    async def claim_deployment(self, body: infrastructure.DeploymentClaim) -> infrastructure.DeploymentDTO:
        return await self._one(infrastructure.DeploymentDTO, "POST", "deployments", body)

    async def update_deployment(
        self, deployment_id: int, body: infrastructure.DeploymentUpdate
    ) -> infrastructure.DeploymentDTO:
        return await self._one(infrastructure.DeploymentDTO, "PATCH", f"deployments/{deployment_id}", body)

    async def list_deployments(
        self, *, project_id: str | None = None, run_id: str | None = None
    ) -> list[infrastructure.DeploymentDTO]:
        return await self._list(infrastructure.DeploymentDTO, "deployments", project_id=project_id, run_id=run_id)

    async def report_worker(self, body: infrastructure.WorkerReport) -> infrastructure.WorkerDTO:
        return await self._one(infrastructure.WorkerDTO, "PUT", f"workers/{_id(body.id)}", body)

    async def list_workers(self) -> list[infrastructure.WorkerDTO]:
        return await self._list(infrastructure.WorkerDTO, "workers")

    async def open_incident(self, body: infrastructure.IncidentCreate) -> infrastructure.IncidentDTO:
        return await self._one(infrastructure.IncidentDTO, "POST", "incidents", body)

    async def resolve_incident(self, key: str) -> None:
        await self._send("POST", f"incidents/{_id(key)}/resolve")

    async def list_incidents(self) -> list[infrastructure.IncidentDTO]:
        return await self._list(infrastructure.IncidentDTO, "incidents")

    async def record_dead_letter(self, body: infrastructure.DeadLetterCreate) -> infrastructure.DeadLetterDTO:
        return await self._one(infrastructure.DeadLetterDTO, "POST", "dead-letters", body)

    async def list_dead_letters(
        self, *, stream: str | None = None, reason: str | None = None, state: DeadLetterState | None = None
    ) -> list[infrastructure.DeadLetterDTO]:
        return await self._list(infrastructure.DeadLetterDTO, "dead-letters", stream=stream, reason=reason, state=state)

    async def get_dead_letter(self, letter_id: int) -> infrastructure.DeadLetterDTO:
        return await self._one(infrastructure.DeadLetterDTO, "GET", f"dead-letters/{letter_id}")

    async def replay_dead_letter(self, letter_id: int) -> infrastructure.DeadLetterDTO:
        return await self._one(infrastructure.DeadLetterDTO, "POST", f"dead-letters/{letter_id}/replay")

    async def replay_dead_letters(
        self, body: infrastructure.DeadLetterFilter, *, idempotency_key: str | None = None
    ) -> infrastructure.DeadLettersRequested:
        answer = infrastructure.DeadLettersRequested
        return await self._one(answer, "POST", "dead-letters/replay", body, key=idempotency_key)

    async def discard_dead_letter(self, letter_id: int) -> infrastructure.DeadLetterDTO:
        return await self._one(infrastructure.DeadLetterDTO, "POST", f"dead-letters/{letter_id}/discard")

    # platform
    async def get_setting(self, name: str) -> JsonValue:
        return (await self._one(accounts.SettingDTO, "GET", f"settings/{_id(name)}")).value

    async def put_setting(self, name: str, value: JsonValue) -> JsonValue:
        body = accounts.SettingDTO(name=name, value=value)
        return (await self._one(accounts.SettingDTO, "PUT", f"settings/{_id(name)}", body)).value

    async def claim_lease(self, name: str, owner: str, ttl_seconds: float) -> accounts.LeaseDTO:
        body = accounts.LeaseClaim(owner=owner, ttl_seconds=ttl_seconds)
        return await self._one(accounts.LeaseDTO, "POST", f"leases/{_id(name)}/claim", body)

    async def renew_lease(self, name: str, owner: str, fence: int, ttl_seconds: float) -> accounts.LeaseDTO:
        body = accounts.LeaseRenew(owner=owner, fence=fence, ttl_seconds=ttl_seconds)
        return await self._one(accounts.LeaseDTO, "POST", f"leases/{_id(name)}/renew", body)

    async def release_lease(self, name: str, owner: str, fence: int) -> None:
        await self._send("POST", f"leases/{_id(name)}/release", body=accounts.LeaseRelease(owner=owner, fence=fence))

    async def create_worker_token(self, body: accounts.WorkerTokenRequest) -> accounts.WorkerTokenDTO:
        return await self._one(accounts.WorkerTokenDTO, "POST", "worker-tokens", body)


def _id(value: str) -> str:
    return quote(value, safe="")
