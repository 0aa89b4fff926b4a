"""Servers, allocations, deployments, workers, incidents, dead letters."""

from __future__ import annotations

from pydantic import AwareDatetime, Field

from shared.contracts.base import Contract
from shared.contracts.vocabulary import (
    AgentType,
    DeadLetterState,
    IncidentSeverity,
    IncidentStatus,
    ServerStatus,
    WorkerStatus,
    WorkerType,
)


class ServerCreate(Contract):
    """Created once per handle: a repeat returns the row that exists."""

    handle: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    host: str
    is_embedded: bool = False
    deploy_url: str | None = Field(default=None, description="where the server's receiver takes releases")
    port_range_start: int = Field(default=8100, ge=1024, le=65_000)
    port_range_end: int = Field(default=8199, ge=1024, le=65_535)
    status: ServerStatus = ServerStatus.PENDING_SETUP


class ServerUpdate(Contract):
    status: ServerStatus | None = None
    host: str | None = None
    deploy_url: str | None = None
    last_error: str | None = None


class ServerDTO(Contract):
    handle: str
    host: str
    is_embedded: bool
    deploy_url: str | None
    port_range_start: int
    port_range_end: int
    status: ServerStatus
    last_error: str | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class AllocationCreate(Contract):
    """One port per project and server: a repeat returns the same port unless it is excluded."""

    project_id: str
    server_handle: str
    exclude_ports: list[int] = Field(default_factory=list)


class AllocationDTO(Contract):
    project_id: str
    server_handle: str
    host: str
    port: int
    created_at: AwareDatetime


class DeploymentClaim(Contract):
    """The right to dispatch one workflow: claimed as a row before GitHub is called."""

    run_id: str
    project_id: str
    correlation: str = Field(min_length=1, max_length=100)
    sha: str
    attempt: int = 1


class DeploymentUpdate(Contract):
    workflow_run_id: int | None = None
    conclusion: str | None = None
    url: str | None = None


class DeploymentDTO(Contract):
    id: int
    run_id: str
    project_id: str
    correlation: str
    sha: str
    attempt: int
    workflow_run_id: int | None
    conclusion: str | None
    url: str | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class WorkerReport(Contract):
    """A mirror of what worker-manager knows; stored under the worker's id."""

    id: str
    worker_type: WorkerType
    agent_type: AgentType
    status: WorkerStatus
    user_id: str | None = None
    task_id: str | None = None
    run_id: str | None = None
    exit_code: int | None = None
    error: str | None = None


class WorkerDTO(WorkerReport):
    created_at: AwareDatetime
    updated_at: AwareDatetime


class IncidentCreate(Contract):
    """Open once per key: a repeat returns the open incident."""

    key: str
    server_handle: str | None = None
    severity: IncidentSeverity
    title: str
    detail: str = ""


class IncidentUpdate(Contract):
    status: IncidentStatus


class IncidentDTO(IncidentCreate):
    id: int
    status: IncidentStatus
    created_at: AwareDatetime
    updated_at: AwareDatetime


class DeadLetterCreate(Contract):
    """Stored once per (stream, entry_id, group); error and body are redacted by the writer."""

    stream: str
    group: str
    entry_id: str
    reason: str
    error: str
    attempts: int
    service: str
    body: str
    letter_id: str | None = Field(default=None, description="its entry in `{stream}:dlq`, where the body is untouched")


class DeadLetterDTO(DeadLetterCreate):
    id: int
    state: DeadLetterState
    outcome: str | None = Field(description="what the relay did, or why it could not")
    created_at: AwareDatetime
    updated_at: AwareDatetime


class DeadLetterFilter(Contract):
    """Which open dead letters are meant; without any field all of them."""

    stream: str | None = None
    reason: str | None = None


class DeadLettersRequested(Contract):
    """For how many dead letters a request was written down."""

    count: int
