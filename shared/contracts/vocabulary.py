"""The words of the domain: identifiers and closed vocabularies used by messages and REST bodies alike."""

from __future__ import annotations

from enum import StrEnum
from typing import NewType

ProjectId = NewType("ProjectId", str)
TaskId = NewType("TaskId", str)
RunId = NewType("RunId", str)
UserId = NewType("UserId", str)
WorkerId = NewType("WorkerId", str)
RequestId = NewType("RequestId", str)


class ProjectStatus(StrEnum):
    DRAFT = "draft"
    SCAFFOLDING = "scaffolding"
    SCAFFOLDED = "scaffolded"
    DEVELOPING = "developing"
    TESTING = "testing"
    DEPLOYING = "deploying"
    ACTIVE = "active"
    FAILED = "failed"
    ARCHIVED = "archived"


class ProjectModule(StrEnum):
    BACKEND = "backend"
    TELEGRAM = "telegram"
    FRONTEND = "frontend"


class TaskStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TaskType(StrEnum):
    ENGINEERING = "engineering"
    DEPLOY = "deploy"


class ServerStatus(StrEnum):
    NEW = "new"
    PENDING_SETUP = "pending_setup"
    ACTIVE = "active"
    UNREACHABLE = "unreachable"
    MAINTENANCE = "maintenance"


class IncidentSeverity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class IncidentStatus(StrEnum):
    OPEN = "open"
    RESOLVED = "resolved"


class WorkerType(StrEnum):
    PO = "po"
    DEVELOPER = "developer"


class AgentType(StrEnum):
    CLAUDE = "claude"
    FACTORY = "factory"
    MOCK = "mock"


class AuthMode(StrEnum):
    HOST_SESSION = "host_session"
    API_KEY = "api_key"
    NONE = "none"


class WorkerCapability(StrEnum):
    """What a worker's image contains besides its agent; parsed case-insensitively."""

    GIT = "git"
    GITHUB_CLI = "github_cli"
    CURL = "curl"
    DOCKER = "docker"

    @classmethod
    def _missing_(cls, value: object) -> WorkerCapability | None:
        if isinstance(value, str):
            wanted = value.strip().lower()
            return next((member for member in cls if member.value == wanted), None)
        return None


class WorkerStatus(StrEnum):
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


class DeadLetterState(StrEnum):
    """open → replay_requested → replayed | replay_failed; open → discard_requested → discarded."""

    OPEN = "open"
    REPLAY_REQUESTED = "replay_requested"
    REPLAYED = "replayed"
    REPLAY_FAILED = "replay_failed"
    DISCARD_REQUESTED = "discard_requested"
    DISCARDED = "discarded"


class DeadLetterAction(StrEnum):
    """What an operator may ask for; also the kind of the outbox row that carries the wish."""

    REPLAY = "replay"
    DISCARD = "discard"


class ResultStatus(StrEnum):
    """How a piece of work ended.

    failed: the platform saw it die or a check failed. error: the agent or handler reported an error.
    timeout: a deadline passed.
    """

    SUCCESS = "success"
    FAILED = "failed"
    ERROR = "error"
    TIMEOUT = "timeout"


class Stage(StrEnum):
    PLAN = "plan"
    CODE = "code"
    TEST = "test"
    REVIEW = "review"
    FREE = "free"


class WaitingReason(StrEnum):
    """Why a run that is not final does nothing at the moment."""

    SECRET = "secret"  # noqa: S105 - a reason, not a credential
    BUDGET = "budget"
    QUOTA = "quota"
    HUMAN = "human"
    RESOURCES = "resources"
    INFRASTRUCTURE = "infrastructure"
    PROJECT_BUSY = "project_busy"


class WaitKind(StrEnum):
    """What a paused run waits for: it tells a poller which runs it can wake."""

    WORKER_CREATED = "worker_created"
    WORKER_OUTPUT = "worker_output"
    SCAFFOLD = "scaffold"
    CHECKS = "checks"
    WORKFLOW = "workflow"
    TIMER = "timer"


class RunEventType(StrEnum):
    RUN_STARTED = "RunStarted"
    STATE_CHANGED = "StateChanged"
    NODE_STARTED = "NodeStarted"
    NODE_FINISHED = "NodeFinished"
    AGENT_MESSAGE = "AgentMessage"
    TOOL_USED = "ToolUsed"
    TOKENS_USED = "TokensUsed"
    ARTIFACT = "Artifact"
    WAITING = "Waiting"
    RESUMED = "Resumed"
    DEBUG_TRACE = "DebugTrace"
    RUN_FINISHED = "RunFinished"


class ChatDirection(StrEnum):
    IN = "in"
    OUT = "out"


class ChatMessageState(StrEnum):
    """Incoming: received → dispatched → answered | failed. Outgoing: sending → sent | failed."""

    RECEIVED = "received"
    DISPATCHED = "dispatched"
    ANSWERED = "answered"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
