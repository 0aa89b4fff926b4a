"""Reads commands, lifecycle events and the runtime's events, and answers on the streams."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from shared.contracts.base import correlation
from shared.contracts.queues.workers import (
    CreateWorkerCommand,
    DeleteWorkerCommand,
    WorkerCommand,
    WorkerLifecycleEvent,
    WorkerResponse,
)
from shared.contracts.topology import WORKER_COMMANDS, WORKER_LIFECYCLE
from shared.contracts.vocabulary import WorkerType
from shared.logging import get_logger
from shared.redis.bus import Bus
from shared.redis.subscription import Delivery, StreamSub
from shared.runtime.errors import PlatformError
from worker_manager.capacity import CreationQueue
from worker_manager.deaths import Death
from worker_manager.errors import ResourceExhausted
from worker_manager.manager import WorkerManager, worker_of
from worker_manager.responses import refused, response_streams
from worker_manager.runtime.port import RuntimeEvent, RuntimeEventKind, WorkerRuntime
from worker_manager.settings import SERVICE

# Above the longest image build: another replica must not take a creation over while it goes on.
RECLAIM_IDLE_MS = 900_000

log = get_logger(__name__)


class WorkerCommandConsumer:
    """Every command gets one answer; a creation that waits for a slot gets it later, from `serve_queue`."""

    def __init__(self, bus: Bus, manager: WorkerManager, queue: CreationQueue, *, name: str) -> None:
        self._bus = bus
        self._manager = manager
        self._queue = queue
        self._name = name

    def commands(self) -> StreamSub[WorkerCommand]:
        """Return the subscription of commands: those about one worker are handled in order."""
        return StreamSub(
            WORKER_COMMANDS,
            SERVICE,
            self._name,
            self.handle,
            concurrency=10,
            reclaim_idle_ms=RECLAIM_IDLE_MS,
            ordering_key=worker_of,
            service=SERVICE,
        )

    def lifecycle(self) -> StreamSub[WorkerLifecycleEvent]:
        """Return the subscription of lifecycle events."""
        return StreamSub(
            WORKER_LIFECYCLE,
            SERVICE,
            self._name,
            self._handle_lifecycle,
            ordering_key=lambda event: event.worker_id,
            service=SERVICE,
        )

    async def handle(self, command: WorkerCommand, delivery: Delivery) -> None:
        """Carry out one command and answer it."""
        if isinstance(command, CreateWorkerCommand):
            response = await self._manager.create(command)
            if response is not None:
                await self._answer(response, command.config.worker_type)
            return
        if isinstance(command, DeleteWorkerCommand):
            response = await self._manager.delete(command)
        else:
            response = await self._manager.status(command)
        await self._answer(response, await self._manager.worker_type(command.worker_id))

    async def serve_queue(self) -> None:
        """Create what waits while slots are free, oldest first, and refuse what waited too long."""
        for worker_id, entry in await self._queue.waiting():
            with correlation(entry.command.correlation_id):
                if self._queue.is_expired(entry):
                    response: WorkerResponse | None = refused(entry.command, worker_id, ResourceExhausted())
                else:
                    response = await self._create_waiting(entry.command)
                if response is None:
                    continue
                await self._answer(response, entry.command.config.worker_type)
                await self._queue.remove(worker_id)

    async def follow_runtime(self, runtime: WorkerRuntime, stop: asyncio.Event) -> None:
        """Report deaths as the runtime tells of them; one that cannot be reported now waits for the reconciler."""
        reader = asyncio.create_task(self._follow(runtime))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({reader, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                await reader
        finally:
            for task in (reader, stopping):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _follow(self, runtime: WorkerRuntime) -> None:
        async for event in runtime.events():
            await self.on_runtime_event(event)

    async def on_runtime_event(self, event: RuntimeEvent) -> None:
        """Handle one event of the runtime."""
        if event.kind is not RuntimeEventKind.DIED:
            return
        try:
            await self._manager.on_death(Death(event.worker_id, event.exit_code, event.is_oom))
        except PlatformError as error:
            log.warning("a death is reported later", worker_id=event.worker_id, code=error.code, error=str(error))

    async def _create_waiting(self, command: CreateWorkerCommand) -> WorkerResponse | None:
        try:
            return await self._manager.create(command, may_wait=False)
        except ResourceExhausted:
            return None

    async def _handle_lifecycle(self, event: WorkerLifecycleEvent, delivery: Delivery) -> None:
        await self._manager.on_lifecycle(event)

    async def _answer(self, response: WorkerResponse, worker_type: WorkerType | None) -> None:
        for stream in response_streams(worker_type):
            await self._bus.publish(stream, response)
