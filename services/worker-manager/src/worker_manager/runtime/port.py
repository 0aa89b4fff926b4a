"""The port every runtime fills.

`WorkerRuntime` is what any engine has, a cluster's included; `SameHostRuntime` is what only an engine on this host has.
Every method may be repeated: creating what exists, stopping what ended and removing what is gone are no errors.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from worker_manager.container_config import WorkerContainerConfig
from worker_manager.image_builder import ImageRecipe


class InstanceState(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """Everything a runtime needs to run one worker. `labels` come back from inspect and list."""

    worker_id: str
    image: str
    container: WorkerContainerConfig
    environment: Mapping[str, str] = field(repr=False)
    instructions: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerInstance:
    """A worker as the runtime sees it. An exited one without an exit code was killed from outside."""

    worker_id: str
    state: InstanceState
    labels: Mapping[str, str]
    created_at: datetime
    pid: int | None = None
    exit_code: int | None = None
    is_oom: bool = False
    ended_at: datetime | None = None

    @property
    def is_live(self) -> bool:
        return self.state in (InstanceState.RUNNING, InstanceState.PAUSED)


class RuntimeEventKind(StrEnum):
    STARTED = "started"
    DIED = "died"


@dataclass(frozen=True, slots=True)
class RuntimeEvent:
    """Something seen. Deaths while nobody listened are told again when listening starts."""

    worker_id: str
    kind: RuntimeEventKind
    exit_code: int | None = None
    is_oom: bool = False


@dataclass(frozen=True, slots=True)
class ExecResult:
    exit_code: int
    output: str


class SameHostRuntime(Protocol):
    async def pause(self, worker_id: str) -> None: ...
    async def unpause(self, worker_id: str) -> None: ...
    async def exec(self, worker_id: str, command: Sequence[str], *, timeout_seconds: float = 60) -> ExecResult: ...


class WorkerRuntime(Protocol):
    """Raises RuntimeFailed or ImageFailed."""

    @property
    def name(self) -> str: ...
    @property
    def is_sandboxed(self) -> bool:
        """Whether a worker is kept from the host well enough for a real model to drive it."""
        ...

    @property
    def same_host(self) -> SameHostRuntime | None: ...
    async def open(self) -> None:
        """Take over what an earlier process left running."""
        ...

    async def close(self) -> None:
        """Stop watching; workers live on."""
        ...

    async def ensure_image(self, recipe: ImageRecipe) -> str:
        """Return the image to run, built when it is missing."""
        ...

    async def create(self, spec: WorkerSpec) -> WorkerInstance: ...
    async def start(self, worker_id: str) -> WorkerInstance: ...
    async def stop(self, worker_id: str, *, grace_seconds: float) -> None:
        """Ask it to end, then end it: when this returns nothing of the worker runs."""
        ...

    async def remove(self, worker_id: str) -> None:
        """Stop it at once if it lives and delete all it left."""
        ...

    async def inspect(self, worker_id: str) -> WorkerInstance | None: ...
    async def list(self) -> list[WorkerInstance]: ...
    def events(self) -> AsyncIterator[RuntimeEvent]:
        """Yield events until the runtime is closed."""
        ...
