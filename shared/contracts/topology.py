"""Every stream, in one table: its message, who writes, who reads, how long entries stay. The only source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from shared.contracts.base import QueueMeta
from shared.contracts.queues.events import (
    AdminNotification,
    DeadLetter,
    ProgressEvent,
    ProvisionerMessage,
    ProvisionerResult,
    RunEvent,
    WorkflowStatusEvent,
)
from shared.contracts.queues.work import DeployMessage, EngineeringMessage, ScaffolderMessage, ScaffolderResult
from shared.contracts.queues.workers import (
    DeveloperWorkerInput,
    DeveloperWorkerOutput,
    POWorkerInput,
    POWorkerOutput,
    WorkerCommand,
    WorkerLifecycleEvent,
    WorkerResponse,
)

M = TypeVar("M", bound=QueueMeta)

DLQ_SUFFIX = ":dlq"


@cache
def _adapter(model: Any) -> TypeAdapter[Any]:
    """Made once for each message: for a union of commands that takes milliseconds."""
    return TypeAdapter(model)


@dataclass(frozen=True, slots=True)
class Stream(Generic[M]):
    """One conversation: a Redis stream and the message it carries.

    `name` may hold one placeholder in braces; `at(value)` fills it. `retention` is the number of finished entries kept.
    """

    name: str
    model: Any
    writers: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    retention: int = 1000

    def at(self, value: str) -> Stream[M]:
        """Return the concrete stream of a family, for example one worker's input."""
        head, _, rest = self.name.partition("{")
        tail = rest.partition("}")[2]
        return Stream(f"{head}{value}{tail}", self.model, self.writers, self.readers, self.retention)

    @property
    def adapter(self) -> TypeAdapter[M]:
        return _adapter(self.model)

    @property
    def dead_letters(self) -> Stream[DeadLetter]:
        return Stream(self.name + DLQ_SUFFIX, DeadLetter, self.readers, ("scheduler",))


def _stream(name: str, model: type[M], writers: str, readers: str, retention: int = 1000) -> Stream[M]:
    return Stream(name, model, tuple(writers.split()), tuple(readers.split()), retention)


ENGINEERING_QUEUE = _stream("engineering:queue", EngineeringMessage, "orchestrator-cli scheduler relay", "langgraph")
DEPLOY_QUEUE = _stream("deploy:queue", DeployMessage, "orchestrator-cli langgraph scheduler relay", "langgraph")
SCAFFOLDER_QUEUE = _stream("scaffolder:queue", ScaffolderMessage, "langgraph", "scaffolder")
SCAFFOLDER_RESULTS = _stream("scaffolder:results", ScaffolderResult, "scaffolder", "langgraph")
WORKER_COMMANDS: Stream[WorkerCommand] = Stream(
    "worker:commands", WorkerCommand, ("langgraph", "telegram-bot"), ("worker-manager",)
)
WORKER_RESPONSES_PO: Stream[WorkerResponse] = Stream(
    "worker:responses:po", WorkerResponse, ("worker-manager",), ("telegram-bot",)
)
WORKER_RESPONSES_DEVELOPER: Stream[WorkerResponse] = Stream(
    "worker:responses:developer", WorkerResponse, ("worker-manager",), ("langgraph",)
)
WORKER_LIFECYCLE = _stream("worker:lifecycle", WorkerLifecycleEvent, "worker-wrapper", "worker-manager")
PO_INPUT = _stream("worker:po:{worker_id}:input", POWorkerInput, "telegram-bot", "worker-wrapper")
PO_OUTPUT = _stream(
    "worker:po:{worker_id}:output", POWorkerOutput, "worker-wrapper orchestrator-cli worker-manager", "telegram-bot"
)
DEVELOPER_INPUT_POOL = _stream("worker:developer:input", DeveloperWorkerInput, "langgraph", "worker-wrapper")
DEVELOPER_INPUT = _stream("worker:developer:{worker_id}:input", DeveloperWorkerInput, "langgraph", "worker-wrapper")
DEVELOPER_OUTPUT = _stream(
    "worker:developer:output", DeveloperWorkerOutput, "worker-wrapper worker-manager", "langgraph"
)
PROVISIONER_QUEUE = _stream("provisioner:queue", ProvisionerMessage, "scheduler", "infra-service")
PROVISIONER_RESULTS = _stream("provisioner:results", ProvisionerResult, "infra-service", "scheduler telegram-bot")
RUN_EVENTS = _stream("run:events", RunEvent, "relay", "telegram-bot", retention=10_000)
TASK_PROGRESS = _stream("task_progress:{task_id}", ProgressEvent, "relay", "")
WORKFLOW_STATUS = _stream("workflow:status", WorkflowStatusEvent, "langgraph", "telegram-bot")
ADMIN_NOTIFICATIONS = _stream(
    "admin:notifications",
    AdminNotification,
    "langgraph scheduler worker-manager infra-service scaffolder",
    "telegram-bot",
)

TOPOLOGY: tuple[Stream[Any], ...] = (
    ENGINEERING_QUEUE,
    DEPLOY_QUEUE,
    SCAFFOLDER_QUEUE,
    SCAFFOLDER_RESULTS,
    WORKER_COMMANDS,
    WORKER_RESPONSES_PO,
    WORKER_RESPONSES_DEVELOPER,
    WORKER_LIFECYCLE,
    PO_INPUT,
    PO_OUTPUT,
    DEVELOPER_INPUT_POOL,
    DEVELOPER_INPUT,
    DEVELOPER_OUTPUT,
    PROVISIONER_QUEUE,
    PROVISIONER_RESULTS,
    RUN_EVENTS,
    TASK_PROGRESS,
    WORKFLOW_STATUS,
    ADMIN_NOTIFICATIONS,
)


def stream_named(name: str) -> Stream[Any] | None:
    """Return the concrete stream of this name, also one of a family; None when the table knows no such stream."""
    for stream in TOPOLOGY:
        head, brace, rest = stream.name.partition("{")
        tail = rest.partition("}")[2]
        if name == stream.name and not brace:
            return stream
        if brace and (match := re.fullmatch(f"{re.escape(head)}([^:{{}}]+){re.escape(tail)}", name)):
            return stream.at(match.group(1))
    return None
