"""Projects, tasks, runs, their events and evidence, what their turns cost."""

from __future__ import annotations

from pydantic import AwareDatetime, Field

from shared.contracts.base import Contract
from shared.contracts.queues.events import RunEventPayload
from shared.contracts.run_machine import RunEventName, RunState
from shared.contracts.stages import Usage
from shared.contracts.vocabulary import (
    ProjectModule,
    ProjectStatus,
    RunEventType,
    TaskStatus,
    TaskType,
    WaitingReason,
    WaitKind,
)

PROJECT_NAME_PATTERN = r"^[a-z][a-z0-9-]{1,48}[a-z0-9]$"


class ProjectCreate(Contract):
    """`owner_id` is taken from a worker's or user's token; services name it."""

    name: str = Field(
        pattern=PROJECT_NAME_PATTERN,
        description="3 to 50 characters: lower-case letters, digits and hyphens, beginning with a letter",
    )
    description: str = ""
    modules: list[ProjectModule] = Field(default_factory=lambda: [ProjectModule.BACKEND], min_length=1)
    owner_id: str | None = None


class ProjectUpdate(Contract):
    """Fields left out stay as they are."""

    status: ProjectStatus | None = None
    description: str | None = None
    repo_full_name: str | None = None
    repo_url: str | None = None
    default_branch: str | None = None
    files: list[str] | None = None
    deployed_url: str | None = None
    deployed_sha: str | None = None


class ProjectDTO(Contract):
    id: str
    owner_id: str
    name: str
    description: str
    modules: list[ProjectModule]
    status: ProjectStatus
    repo_full_name: str | None
    repo_url: str | None
    default_branch: str
    files: list[str]
    deployed_url: str | None
    deployed_sha: str | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class TaskCreate(Contract):
    project_id: str
    type: TaskType
    title: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=20_000)
    parent_task_id: str | None = None


class TaskUpdate(Contract):
    status: TaskStatus | None = None


class TaskDTO(Contract):
    id: str
    project_id: str
    owner_id: str
    type: TaskType
    title: str
    description: str
    parent_task_id: str | None
    status: TaskStatus
    correlation_id: str | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class RunCreate(Contract):
    """Idempotent on `key`: a repeat returns the run that exists."""

    task_id: str
    key: str = Field(min_length=1, max_length=200)


class RunFacts(Contract):
    """What a transition may record on the run besides its state; fields left out stay as they are."""

    branch: str | None = None
    head_sha: str | None = None
    pr_number: int | None = None
    pr_url: str | None = None
    merge_sha: str | None = None
    deployed_url: str | None = None
    worker_id: str | None = None


class RunDTO(Contract):
    id: str
    task_id: str
    project_id: str
    owner_id: str
    kind: TaskType
    state: RunState
    version: int
    reason: str | None
    facts: RunFacts
    code_attempts: int
    review_rounds: int
    waiting_reason: WaitingReason | None
    waiting_until: AwareDatetime | None
    wait_kind: WaitKind | None
    wait_key: str | None
    wake_at: AwareDatetime | None
    cancel_requested: bool
    lease_owner: str | None
    lease_expires_at: AwareDatetime | None
    fence: int
    last_seq: int
    correlation_id: str | None
    created_at: AwareDatetime
    updated_at: AwareDatetime
    finished_at: AwareDatetime | None


class RunClaim(Contract):
    owner: str = Field(min_length=1, max_length=200)
    ttl_seconds: float = Field(default=30, gt=0, le=3600)


class RunRenew(Contract):
    owner: str
    fence: int
    ttl_seconds: float = Field(default=30, gt=0, le=3600)


class RunRelease(Contract):
    """Hand a run back: what it waits for, and when somebody should look at it at the latest."""

    owner: str
    fence: int
    wait_kind: WaitKind | None = None
    wait_key: str | None = None
    wake_at: AwareDatetime | None = None
    waiting_reason: WaitingReason | None = None
    waiting_until: AwareDatetime | None = None


class RunCancel(Contract):
    reason: str = Field(min_length=1, max_length=2000)


class TransitionRequest(Contract):
    """One row of the state machine. `key` makes it repeatable: the same key answers the run as it is."""

    event: RunEventName
    fence: int
    key: str = Field(min_length=1, max_length=200)
    reason: str | None = None
    message: str | None = None
    facts: RunFacts = Field(default_factory=RunFacts)


class RunEventAppend(Contract):
    """Append one event; the same key appends once."""

    type: RunEventType
    key: str | None = Field(default=None, max_length=200)
    payload: RunEventPayload = Field(default_factory=RunEventPayload)


class RunEventDTO(Contract):
    run_id: str
    seq: int
    type: RunEventType
    ts: AwareDatetime
    payload: RunEventPayload


class EvidenceCreate(Contract):
    """A fact the platform saw for itself. Kinds: remote_head, checks, merge, smoke."""

    kind: str = Field(pattern=r"^(remote_head|checks|merge|smoke)$")
    sha: str | None = None
    conclusion: str | None = None
    url: str | None = None
    detail: str | None = None


class EvidenceDTO(EvidenceCreate):
    run_id: str
    created_at: AwareDatetime


class TaskExecutionCreate(Contract):
    """What one agent turn used; stored once per (request_id, attempt)."""

    request_id: str
    attempt: int = 1
    stage: str
    agent_type: str
    run_id: str | None = None
    task_id: str | None = None
    project_id: str | None = None
    owner_id: str | None = None
    worker_id: str | None = None
    status: str
    usage: Usage = Field(default_factory=Usage)
    duration_ms: int | None = None


class TaskExecutionDTO(TaskExecutionCreate):
    id: int
    created_at: AwareDatetime
