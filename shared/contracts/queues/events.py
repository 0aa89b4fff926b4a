"""What observers hear: run events, progress, workflow status, notifications, dead letters, provisioning."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, Field, JsonValue

from shared.contracts.base import BaseMessage, BaseResult, Contract, QueueMeta
from shared.contracts.run_machine import RunEventName, RunState
from shared.contracts.vocabulary import RunEventType, TaskType


class RunEventPayload(Contract):
    """One flat shape for every event type; a field is present where its type needs it."""

    state: RunState | None = None
    previous_state: RunState | None = None
    event: RunEventName | None = None
    node: str | None = None
    stage: str | None = None
    attempt: int | None = None
    message: str | None = None
    tool: str | None = None
    reason: str | None = None
    url: str | None = None
    sha: str | None = None
    pr_number: int | None = None
    request_id: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cost_usd: float | None = None
    duration_ms: int | None = None
    data: dict[str, JsonValue] | None = None


class RunEvent(QueueMeta):
    """A row of run_events as published by the relay; readers drop repeats by (run_id, seq)."""

    run_id: str
    task_id: str
    project_id: str
    user_id: str
    kind: TaskType
    seq: int = Field(ge=1)
    type: RunEventType
    payload: RunEventPayload = Field(default_factory=RunEventPayload)


class ProgressEvent(QueueMeta):
    type: Literal["started", "progress", "completed", "failed"]
    request_id: str
    task_id: str
    run_id: str | None = None
    seq: int | None = None
    message: str = ""
    progress_pct: int | None = Field(default=None, ge=0, le=100)
    current_step: str | None = None
    error: str | None = None


class WorkflowState(StrEnum):
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"


class WorkflowConclusion(StrEnum):
    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class WorkflowTriggerRequest(BaseMessage):
    owner: str
    repo: str
    workflow: str = "main.yml"
    ref: str = "main"
    inputs: dict[str, str] = Field(default_factory=dict)


class WorkflowStatusResult(Contract):
    run_id: int
    status: WorkflowState
    conclusion: WorkflowConclusion | None = None
    html_url: str | None = None


class WorkflowStatusEvent(QueueMeta):
    task_id: str
    project_id: str
    user_id: str
    result: WorkflowStatusResult


class AdminNotification(QueueMeta):
    service: str
    level: Literal["info", "warning", "error"] = "warning"
    title: str
    text: str
    key: str = Field(description="the same key is told once")


class ProvisionerMessage(BaseMessage):
    server_handle: str
    force_reinstall: bool = False
    is_recovery: bool = False


class ProvisionerResult(BaseResult):
    server_handle: str
    server_ip: str | None = None
    services_redeployed: int = 0
    errors: list[str] = Field(default_factory=list)


class DeadLetterReason(StrEnum):
    UNDECODABLE = "undecodable"
    INVALID = "invalid"
    UNKNOWN_VERSION = "unknown_version"
    PERMANENT_ERROR = "permanent_error"
    RETRIES_EXHAUSTED = "retries_exhausted"


class DeadLetter(QueueMeta):
    stream: str
    group: str
    entry_id: str
    reason: DeadLetterReason
    error: str
    attempts: int = Field(ge=0)
    service: str
    died_at: AwareDatetime
    body: str = Field(description="the entry as it was, untouched; bytes that are not UTF-8 are escaped")
