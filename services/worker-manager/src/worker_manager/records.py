"""What is known of one worker: who asked for it (immutable), and its state as kept in the status hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from shared.contracts.queues.workers import CreateWorkerCommand, WorkerContext
from shared.contracts.topology import DEVELOPER_INPUT, DEVELOPER_INPUT_POOL, PO_INPUT
from shared.contracts.vocabulary import AgentType, WorkerId, WorkerStatus, WorkerType

FINAL_STATUSES = frozenset({WorkerStatus.COMPLETED, WorkerStatus.FAILED, WorkerStatus.STOPPED})
WORKER_ID_DIGITS = 12

E = TypeVar("E", bound=StrEnum)

PROGRESS_FIELDS = (
    "request_id",
    "stage",
    "attempt",
    "fence",
    "attempt_token",
    "correlation_id",
    "input_stream",
    "input_entry_id",
    "claimed_at",
)


def derive_worker_id(request_id: str) -> WorkerId:
    """Return the worker id of a create request: a repeated request names the same worker."""
    return WorkerId("w" + hashlib.sha256(request_id.encode()).hexdigest()[:WORKER_ID_DIGITS])


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """The identity of a worker, kept in the runtime's labels so that it survives the loss of Redis."""

    worker_id: str
    worker_type: WorkerType
    agent_type: AgentType
    name: str
    pooled: bool
    create_request_id: str
    user_id: str | None = None
    task_id: str | None = None
    run_id: str | None = None
    project_id: str | None = None
    allowed_commands: str = ""

    @classmethod
    def of(cls, command: CreateWorkerCommand) -> WorkerRecord:
        config, context = command.config, command.context
        return cls(
            worker_id=derive_worker_id(command.request_id),
            worker_type=config.worker_type,
            agent_type=config.agent_type,
            name=config.name,
            pooled=config.pooled,
            create_request_id=command.request_id,
            user_id=context.user_id,
            task_id=context.task_id,
            run_id=context.run_id,
            project_id=context.project_id,
            allowed_commands=",".join(config.allowed_commands),
        )

    @property
    def allowed(self) -> list[str]:
        """Return the patterns of commands this worker may run."""
        return [pattern for pattern in self.allowed_commands.split(",") if pattern]

    @property
    def context(self) -> WorkerContext:
        return WorkerContext(user_id=self.user_id, task_id=self.task_id, run_id=self.run_id, project_id=self.project_id)

    def to_labels(self) -> dict[str, str]:
        """Return strings only, absent values left out; the same map serves labels and the status hash."""
        values = asdict(self) | {"pooled": "1" if self.pooled else "0"}
        return {name: str(value) for name, value in values.items() if value is not None}

    @classmethod
    def from_labels(cls, labels: Mapping[str, str]) -> WorkerRecord:
        """Read what `to_labels` wrote; KeyError or ValueError when it is not ours."""
        return cls(
            worker_id=labels["worker_id"],
            worker_type=WorkerType(labels["worker_type"]),
            agent_type=AgentType(labels["agent_type"]),
            name=labels["name"],
            pooled=labels["pooled"] == "1",
            create_request_id=labels["create_request_id"],
            user_id=labels.get("user_id"),
            task_id=labels.get("task_id"),
            run_id=labels.get("run_id"),
            project_id=labels.get("project_id"),
            allowed_commands=labels.get("allowed_commands", ""),
        )


def input_stream_name(worker_type: WorkerType, worker_id: str, *, pooled: bool) -> str:
    """Return the stream a worker reads."""
    if worker_type is WorkerType.PO:
        return PO_INPUT.at(worker_id).name
    return DEVELOPER_INPUT_POOL.name if pooled else DEVELOPER_INPUT.at(worker_id).name


@dataclass(frozen=True, slots=True)
class RequestInProgress:
    """The message a worker is at, as the wrapper wrote it into the hash."""

    request_id: str
    stage: str | None = None
    attempt: int = 1
    fence: int = 0
    attempt_token: str | None = None
    correlation_id: str | None = None
    input_stream: str | None = None
    input_entry_id: str | None = None
    claimed_at: str | None = None


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One status hash. Everything may be missing: Redis can lose it, and others write into it."""

    worker_id: str
    status: WorkerStatus | None = None
    worker_type: WorkerType | None = None
    agent_type: AgentType | None = None
    pooled: bool = False
    user_id: str | None = None
    task_id: str | None = None
    run_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    active_at: datetime | None = None
    paused_input_id: str | None = None
    ended_by: str | None = None
    exit_code: int | None = None
    error: str | None = None
    progress: RequestInProgress | None = None

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_STATUSES

    @classmethod
    def from_hash(cls, worker_id: str, values: Mapping[str, str]) -> WorkerState:
        """Read a hash; an unreadable field counts as absent."""
        return cls(
            worker_id=worker_id,
            status=_member(WorkerStatus, values.get("status")),
            worker_type=_member(WorkerType, values.get("worker_type")),
            agent_type=_member(AgentType, values.get("agent_type")),
            pooled=values.get("pooled") == "1",
            user_id=values.get("user_id"),
            task_id=values.get("task_id"),
            run_id=values.get("run_id"),
            created_at=_moment(values.get("created_at")),
            updated_at=_moment(values.get("updated_at")),
            active_at=_moment(values.get("active_at")),
            paused_input_id=values.get("paused_input_id"),
            ended_by=values.get("ended_by"),
            exit_code=_number(values.get("exit_code")),
            error=values.get("error"),
            progress=_progress(values),
        )


def _progress(values: Mapping[str, str]) -> RequestInProgress | None:
    if not values.get("request_id"):
        return None
    texts = {f.name: values.get(f.name) for f in fields(RequestInProgress)}
    return RequestInProgress(
        request_id=values["request_id"],
        stage=texts["stage"],
        attempt=_number(texts["attempt"]) or 1,
        fence=_number(texts["fence"]) or 0,
        attempt_token=texts["attempt_token"],
        correlation_id=texts["correlation_id"],
        input_stream=texts["input_stream"],
        input_entry_id=texts["input_entry_id"],
        claimed_at=texts["claimed_at"],
    )


def _member(kind: type[E], value: str | None) -> E | None:
    return None if value is None or value not in list(kind) else kind(value)


def _number(value: str | None) -> int | None:
    try:
        return int(value) if value is not None else None
    except ValueError:
        return None


def _moment(value: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if value else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None
