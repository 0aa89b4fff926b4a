"""Worker slots: how many are taken, and the creations that wait for one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from pydantic import AwareDatetime, ValidationError

from shared.contracts.base import Contract
from shared.contracts.queues.workers import CreateWorkerCommand
from shared.infra import Clock
from shared.logging import get_logger
from worker_manager.errors import ResourceExhausted
from worker_manager.runtime.port import WorkerRuntime
from worker_manager.status_store import StatusStore

log = get_logger(__name__)


class WaitingCreation(Contract):
    enqueued_at: AwareDatetime
    command: CreateWorkerCommand


class Capacity:
    """Live workers and those being started count; paused ones too, as they keep their memory."""

    def __init__(self, runtime: WorkerRuntime, limit: int) -> None:
        self._runtime = runtime
        self._limit = limit
        self._starting: set[str] = set()
        self._counting = asyncio.Lock()

    def is_starting(self, worker_id: str) -> bool:
        return worker_id in self._starting

    @asynccontextmanager
    async def slot(self, worker_id: str) -> AsyncIterator[None]:
        """Hold a slot while a worker is started; ResourceExhausted when none is free."""
        async with self._counting:
            taken = {instance.worker_id for instance in await self._runtime.list() if instance.is_live}
            if len((taken | self._starting) - {worker_id}) >= self._limit:
                raise ResourceExhausted(f"all {self._limit} worker slots are taken")
            self._starting.add(worker_id)
        try:
            yield
        finally:
            self._starting.discard(worker_id)


class CreationQueue:
    """First come, first served; an entry lives until it was answered."""

    def __init__(self, store: StatusStore, clock: Clock, wait_seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._wait = timedelta(seconds=wait_seconds)

    async def put(self, worker_id: str, command: CreateWorkerCommand) -> None:
        """Let a creation wait; a repeat keeps its place."""
        entry = WaitingCreation(enqueued_at=self._clock.now(), command=command)
        await self._store.enqueue_creation(worker_id, entry.model_dump_json())

    async def waiting(self) -> list[tuple[str, WaitingCreation]]:
        """Return what waits, oldest first; what cannot be read is dropped."""
        found: list[tuple[str, WaitingCreation]] = []
        for worker_id, text in (await self._store.queued_creations()).items():
            try:
                found.append((worker_id, WaitingCreation.model_validate_json(text)))
            except ValidationError as error:
                log.error("a waiting creation is unreadable", worker_id=worker_id, errors=error.error_count())
                await self._store.dequeue_creation(worker_id)
        return sorted(found, key=lambda item: item[1].enqueued_at)

    def is_expired(self, entry: WaitingCreation) -> bool:
        return self._clock.now() - entry.enqueued_at > self._wait

    async def remove(self, worker_id: str) -> bool:
        """Drop an entry; tell whether it was there."""
        return await self._store.dequeue_creation(worker_id)
