"""The runtime of unit tests: workers in memory that end when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from shared.infra import Clock, SystemClock
from worker_manager.errors import RuntimeFailed
from worker_manager.image_builder import ImageRecipe
from worker_manager.runtime.port import (
    ExecResult,
    InstanceState,
    RuntimeEvent,
    RuntimeEventKind,
    SameHostRuntime,
    WorkerInstance,
    WorkerSpec,
)


class FakeRuntime:
    """Fills both ports. Workers stop with exit code 0 unless `die` gave another; `failures` are raised by `start`."""

    name = "fake"

    def __init__(self, *, is_sandboxed: bool = True, clock: Clock | None = None) -> None:
        self.is_sandboxed = is_sandboxed
        self._clock = clock or SystemClock()
        self.specs: dict[str, WorkerSpec] = {}
        self.instances: dict[str, WorkerInstance] = {}
        self.images: list[ImageRecipe] = []
        self.executed: list[tuple[str, tuple[str, ...]]] = []
        self.exec_result = ExecResult(0, "")
        self.failures: list[Exception] = []
        self._events: asyncio.Queue[RuntimeEvent | None] = asyncio.Queue()

    @property
    def same_host(self) -> SameHostRuntime:
        return self

    async def open(self) -> None:
        for instance in list(self.instances.values()):
            if instance.state is InstanceState.EXITED:
                self._tell_death(instance)

    async def close(self) -> None:
        self._events.put_nowait(None)

    async def ensure_image(self, recipe: ImageRecipe) -> str:
        self.images.append(recipe)
        return f"fake:{recipe.agent_type.value}"

    async def create(self, spec: WorkerSpec) -> WorkerInstance:
        existing = self.instances.get(spec.worker_id)
        if existing is not None and existing.state is not InstanceState.CREATED:
            return existing
        self.specs[spec.worker_id] = spec
        instance = WorkerInstance(
            worker_id=spec.worker_id,
            state=InstanceState.CREATED,
            labels=dict(spec.labels),
            created_at=self._clock.now(),
        )
        self.instances[spec.worker_id] = instance
        return instance

    async def start(self, worker_id: str) -> WorkerInstance:
        if self.failures:
            raise self.failures.pop(0)
        instance = self._known(worker_id)
        if instance.state is InstanceState.CREATED:
            instance = self._become(worker_id, InstanceState.RUNNING)
            self._events.put_nowait(RuntimeEvent(worker_id, RuntimeEventKind.STARTED))
        return instance

    async def stop(self, worker_id: str, *, grace_seconds: float) -> None:
        instance = self.instances.get(worker_id)
        if instance is not None and instance.state is not InstanceState.EXITED:
            self.die(worker_id, 0)

    async def remove(self, worker_id: str) -> None:
        self.instances.pop(worker_id, None)
        self.specs.pop(worker_id, None)

    async def inspect(self, worker_id: str) -> WorkerInstance | None:
        return self.instances.get(worker_id)

    async def list(self) -> list[WorkerInstance]:
        return [self.instances[worker_id] for worker_id in sorted(self.instances)]

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        while (event := await self._events.get()) is not None:
            yield event

    async def pause(self, worker_id: str) -> None:
        if self._known(worker_id).state is InstanceState.RUNNING:
            self._become(worker_id, InstanceState.PAUSED)

    async def unpause(self, worker_id: str) -> None:
        if self._known(worker_id).state is InstanceState.PAUSED:
            self._become(worker_id, InstanceState.RUNNING)

    async def exec(self, worker_id: str, command: Sequence[str], *, timeout_seconds: float = 60) -> ExecResult:
        if not self._known(worker_id).is_live:
            raise RuntimeFailed(f"worker {worker_id} does not run")
        self.executed.append((worker_id, tuple(command)))
        return self.exec_result

    def die(self, worker_id: str, exit_code: int | None, *, is_oom: bool = False) -> RuntimeEvent:
        """End a worker from outside, as a test wants it; return the event that is told."""
        instance = replace(
            self._known(worker_id),
            state=InstanceState.EXITED,
            exit_code=exit_code,
            is_oom=is_oom,
            ended_at=self._clock.now(),
        )
        self.instances[worker_id] = instance
        return self._tell_death(instance)

    def _tell_death(self, instance: WorkerInstance) -> RuntimeEvent:
        event = RuntimeEvent(instance.worker_id, RuntimeEventKind.DIED, instance.exit_code, instance.is_oom)
        self._events.put_nowait(event)
        return event

    def _known(self, worker_id: str) -> WorkerInstance:
        if worker_id not in self.instances:
            raise RuntimeFailed(f"worker {worker_id} does not exist")
        return self.instances[worker_id]

    def _become(self, worker_id: str, state: InstanceState) -> WorkerInstance:
        self.instances[worker_id] = replace(self.instances[worker_id], state=state)
        return self.instances[worker_id]
