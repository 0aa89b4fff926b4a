"""Makes Redis, the runtime and the api agree again, whatever was missed: a round starts from what is there."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.contracts.vocabulary import WorkerStatus
from shared.logging import get_logger
from worker_manager.deaths import DRAIN_FOR, Death
from worker_manager.manager import ENDED_BY_DELETE, Parts, WorkerManager, record_of
from worker_manager.records import WorkerState
from worker_manager.runtime.port import InstanceState, WorkerInstance

VANISHED_AFTER = timedelta(minutes=2)
SCAN_EVERY = timedelta(minutes=1)

log = get_logger(__name__)


class Reconciler:
    """`drain_once` is one round. Nothing is ended here: only what was seen to have ended is settled."""

    def __init__(self, manager: WorkerManager, parts: Parts, *, retain_seconds: float) -> None:
        self._manager = manager
        self._parts = parts
        self._retain = timedelta(seconds=retain_seconds)
        self._ended: set[str] = set()
        self._scanned_at: datetime | None = None

    async def drain_once(self) -> None:
        """Settle deaths, rebuild lost states, answer what dead workers left, delete what was kept long enough."""
        instances = await self._parts.runtime.list()
        records = [record_of(instance) for instance in instances if instance.state is not InstanceState.EXITED]
        await self._parts.credentials.compare([record for record in records if record is not None])
        for instance in instances:
            if not self._parts.capacity.is_starting(instance.worker_id):
                await self._compare(instance)
        if self._scanned_at is None or self._parts.clock.now() - self._scanned_at > SCAN_EVERY:
            await self._scan({instance.worker_id for instance in instances})
            self._scanned_at = self._parts.clock.now()
        for worker_id in sorted(self._ended):
            await self._answer(worker_id)

    async def _compare(self, instance: WorkerInstance) -> None:
        worker_id = instance.worker_id
        state = await self._parts.store.load(worker_id)
        if instance.is_live:
            if state is None or state.status is None:
                async with self._manager.lock(worker_id):
                    await self._manager.rebuild(instance)
            elif state.status is WorkerStatus.STARTING and await self._parts.store.has_heartbeat(worker_id):
                await self._manager.set_status(worker_id, WorkerStatus.RUNNING)
            elif state.is_final:
                log.warning("a worker lives although its state is final", worker_id=worker_id)
        elif instance.state is InstanceState.EXITED:
            self._ended.add(worker_id)
            if state is None or not state.is_final:
                await self._manager.on_death(Death(worker_id, instance.exit_code, instance.is_oom))
            elif instance.ended_at is not None and self._parts.clock.now() - instance.ended_at > self._retain:
                async with self._manager.lock(worker_id):
                    await self._parts.runtime.remove(worker_id)

    async def _scan(self, present: set[str]) -> None:
        """Find ended workers whose input is to be answered, and states whose worker is gone without a trace."""
        for worker_id in await self._parts.store.known_workers():
            state = await self._parts.store.load(worker_id)
            if state is None:
                continue
            if state.is_final:
                self._ended.add(worker_id)
            elif self._has_vanished(state, present):
                log.warning("a worker is gone without a trace", worker_id=worker_id)
                await self._manager.on_death(Death(worker_id))
                self._ended.add(worker_id)

    def _has_vanished(self, state: WorkerState, present: set[str]) -> bool:
        if state.worker_id in present or self._parts.capacity.is_starting(state.worker_id):
            return False
        # Without a time of creation others wrote this hash after ours was lost: unknown is not dead.
        return state.created_at is not None and self._parts.clock.now() - state.created_at > VANISHED_AFTER

    async def _answer(self, worker_id: str) -> None:
        state = await self._parts.store.load(worker_id)
        if state is None or not state.is_final or self._is_settled(state):
            self._ended.discard(worker_id)
            return
        count = await self._parts.deaths.drain(state)
        if count:
            log.warning("messages to an ended worker were answered", worker_id=worker_id, count=count)

    def _is_settled(self, state: WorkerState) -> bool:
        if state.ended_by == ENDED_BY_DELETE or state.updated_at is None:
            return True
        return self._parts.clock.now() - state.updated_at > DRAIN_FOR
