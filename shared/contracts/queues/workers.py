"""Workers: commands to the manager, its answers, life-cycle events, the work itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue, SecretStr, TypeAdapter, field_serializer

from shared.contracts.base import BaseMessage, BaseResult, Contract, QueueMeta
from shared.contracts.stages import AgentVerdict, Usage
from shared.contracts.vocabulary import AgentType, AuthMode, Stage, WorkerCapability, WorkerStatus, WorkerType

DEFAULT_STAGE_TIMEOUT_SECONDS = 1800


def _reveal(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value is not None else None


class WorkerLimits(Contract):
    memory_mb: int = Field(default=512, ge=64)
    cpus: float = Field(default=0.5, gt=0)
    pids: int = Field(default=256, ge=32)


class WorkerConfig(Contract):
    name: str = Field(min_length=1, max_length=100)
    worker_type: WorkerType
    agent_type: AgentType
    instructions: str = ""
    allowed_commands: list[str] = Field(default_factory=list)
    capabilities: list[WorkerCapability] = Field(default_factory=list)
    env_vars: dict[str, str] = Field(default_factory=dict)
    auth_mode: AuthMode | None = None
    host_claude_dir: str | None = None
    api_key: SecretStr | None = None
    pooled: bool = True
    network_name: str | None = None
    limits: WorkerLimits = Field(default_factory=WorkerLimits)

    @field_serializer("api_key", when_used="json")
    def _serialise_key(self, value: SecretStr | None) -> str | None:
        return _reveal(value)


class WorkerContext(Contract):
    user_id: str | None = None
    task_id: str | None = None
    project_id: str | None = None
    run_id: str | None = None


class CreateWorkerCommand(BaseMessage):
    command: Literal["create"] = "create"
    config: WorkerConfig
    context: WorkerContext = Field(default_factory=WorkerContext)


class DeleteWorkerCommand(BaseMessage):
    command: Literal["delete"] = "delete"
    worker_id: str


class StatusWorkerCommand(BaseMessage):
    command: Literal["status"] = "status"
    worker_id: str


WorkerCommand = Annotated[
    CreateWorkerCommand | DeleteWorkerCommand | StatusWorkerCommand, Field(discriminator="command")
]
WORKER_COMMAND: TypeAdapter[WorkerCommand] = TypeAdapter(WorkerCommand)


class RefusalCode(StrEnum):
    """Why the manager refused; `retryable` on the response says whether asking again can help."""

    RESOURCE_EXHAUSTED = "resource_exhausted"
    IMAGE_FAILED = "image_failed"
    RUNTIME_FAILED = "runtime_failed"
    AUTH_MISSING = "auth_missing"
    DOCKER_SOCKET_REFUSED = "docker_socket_refused"
    UNSANDBOXED_REFUSED = "unsandboxed_refused"
    UNKNOWN_WORKER = "unknown_worker"
    INVALID_CONFIG = "invalid_config"


class _WorkerResponse(QueueMeta):
    request_id: str
    success: bool
    worker_id: str | None = None
    status: WorkerStatus | None = None
    error: str | None = None
    code: RefusalCode | None = None
    retryable: bool = False


class CreateWorkerResponse(_WorkerResponse):
    response: Literal["create"] = "create"


class DeleteWorkerResponse(_WorkerResponse):
    response: Literal["delete"] = "delete"


class StatusWorkerResponse(_WorkerResponse):
    response: Literal["status"] = "status"


WorkerResponse = Annotated[
    CreateWorkerResponse | DeleteWorkerResponse | StatusWorkerResponse, Field(discriminator="response")
]
WORKER_RESPONSE: TypeAdapter[WorkerResponse] = TypeAdapter(WorkerResponse)


class LifecycleEvent(StrEnum):
    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"


class WorkerLifecycleEvent(QueueMeta):
    worker_id: str
    event: LifecycleEvent
    request_id: str | None = None
    result: dict[str, JsonValue] | None = None
    error: str | None = None
    exit_code: int | None = None


class POWorkerInput(BaseMessage):
    user_id: str
    prompt: str = Field(min_length=1)
    timeout: int = Field(default=600, ge=1, description="seconds for the whole turn")


class POWorkerOutput(BaseResult):
    """A turn's answer, or with is_final=False something said while the turn goes on."""

    user_id: str
    worker_id: str | None = None
    text: str = ""
    is_final: bool = True
    sequence: int = Field(default=0, ge=0, description="order of the non-final outputs of one request")
    usage: Usage | None = None
    session_id: str | None = None


class RepoRef(Contract):
    clone_url: str
    branch: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,200}$")
    base: str = Field(default="main", pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,200}$")
    token: SecretStr | None = Field(default=None, description="fresh, limited to this repository")

    @field_serializer("token", when_used="json")
    def _serialise_token(self, value: SecretStr | None) -> str | None:
        return _reveal(value)


class DeveloperWorkerInput(BaseMessage):
    task_id: str
    project_id: str
    run_id: str | None = None
    stage: Stage = Stage.FREE
    prompt: str = Field(min_length=1)
    repo: RepoRef | None = None
    timeout: int = Field(default=DEFAULT_STAGE_TIMEOUT_SECONDS, ge=1, description="seconds for the whole stage")
    attempt: int = Field(default=1, ge=1)
    fence: int = Field(default=0, ge=0)
    attempt_token: str | None = None
    previous_attempts: list[str] = Field(default_factory=list)


class FailureCause(StrEnum):
    """A machine-readable reason beside the text of `error`."""

    NO_RESULT = "no_result"
    AGENT_ERROR = "agent_error"
    START_DEADLINE = "start_deadline"
    IDLE_DEADLINE = "idle_deadline"
    TOTAL_DEADLINE = "total_deadline"
    CRASH = "crash"
    OOM = "oom"
    PROVIDER_LIMIT = "provider_limit"
    AUTH_FAILED = "auth_failed"
    WORKSPACE = "workspace"
    INTERRUPTED = "interrupted"


class DeveloperWorkerOutput(BaseResult):
    task_id: str
    worker_id: str | None = None
    run_id: str | None = None
    stage: Stage = Stage.FREE
    attempt: int = Field(default=1, ge=1)
    fence: int = Field(default=0, ge=0)
    attempt_token: str | None = None
    commit_sha: str | None = None
    pr_url: str | None = None
    verdict: AgentVerdict | None = None
    usage: Usage = Field(default_factory=Usage)
    session_id: str | None = None
    exit_code: int | None = None
    cause: FailureCause | None = None
    retry_at: str | None = Field(default=None, description="ISO time at which a provider's limit resets")
