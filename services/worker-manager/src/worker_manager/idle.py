"""Keeps PO workers from costing while nobody talks to them: paused first, ended later, woken by their input."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.contracts.topology import PO_INPUT
from shared.contracts.vocabulary import WorkerStatus, WorkerType
from shared.infra import Clock
from shared.logging import get_logger
from shared.redis.bus import Bus
from worker_manager.deaths import WRAPPER_GROUP
from worker_manager.manager import WorkerManager, record_of
from worker_manager.records import WorkerState
from worker_manager.runtime.port import InstanceState, WorkerInstance, WorkerRuntime
from worker_manager.status_store import StatusStore

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class IdlePolicy:
    pause_after_seconds: float = 600
    end_after_seconds: float = 1800
    max_age_seconds: float = 72_000


class IdleKeeper:
    def __init__(
        self,
        manager: WorkerManager,
        runtime: WorkerRuntime,
        store: StatusStore,
        bus: Bus,
        clock: Clock,
        policy: IdlePolicy,
    ) -> None:
        self._manager = manager
        self._runtime = runtime
        self._store = store
        self._bus = bus
        self._clock = clock
        self._policy = policy

    async def drain_once(self) -> None:
        """Look at every live PO worker once."""
        for instance in await self._runtime.list():
            record = record_of(instance)
            if instance.is_live and record is not None and record.worker_type is WorkerType.PO:
                state = await self._store.load(instance.worker_id)
                if state is not None and state.status in (WorkerStatus.RUNNING, WorkerStatus.PAUSED):
                    await self._attend(instance, state)

    async def _attend(self, instance: WorkerInstance, state: WorkerState) -> None:
        input_id, has_input = await self._input(instance.worker_id)
        if instance.state is InstanceState.PAUSED:
            if has_input or input_id != state.paused_input_id:
                await self._wake(instance.worker_id)
            elif self._idle_seconds(state, instance) > self._policy.end_after_seconds:
                await self._manager.end_idle(instance.worker_id)
            return
        if state.progress is not None or has_input:
            return
        idle = self._idle_seconds(state, instance)
        if idle > self._policy.end_after_seconds or self._is_old(instance.created_at):
            log.info("an idle worker is ended", worker_id=instance.worker_id, idle_seconds=round(idle))
            await self._manager.end_idle(instance.worker_id)
        elif idle > self._policy.pause_after_seconds and self._runtime.same_host is not None:
            await self._pause(instance.worker_id, input_id)

    async def _input(self, worker_id: str) -> tuple[str, bool]:
        """Return the last id of a worker's input and whether anything in it is known to be unanswered."""
        stats = await self._bus.stats(PO_INPUT.at(worker_id))
        group = stats.groups.get(WRAPPER_GROUP)
        return stats.last_id, group is not None and (group.pending > 0 or bool(group.lag))

    def _idle_seconds(self, state: WorkerState, instance: WorkerInstance) -> float:
        return (self._clock.now() - (state.active_at or instance.created_at)).total_seconds()

    def _is_old(self, created_at: datetime) -> bool:
        return (self._clock.now() - created_at).total_seconds() > self._policy.max_age_seconds

    async def _pause(self, worker_id: str, input_id: str) -> None:
        """Pause with the input's last id as seen before: a message that came meanwhile wakes it in the next round."""
        if self._runtime.same_host is None:
            return
        async with self._manager.lock(worker_id):
            await self._runtime.same_host.pause(worker_id)
            await self._manager.set_status(worker_id, WorkerStatus.PAUSED, {"paused_input_id": input_id})
        log.info("an idle worker is paused", worker_id=worker_id)

    async def _wake(self, worker_id: str) -> None:
        if self._runtime.same_host is None:
            return
        async with self._manager.lock(worker_id):
            await self._runtime.same_host.unpause(worker_id)
            now = self._clock.now().isoformat()
            await self._manager.set_status(worker_id, WorkerStatus.RUNNING, {"active_at": now})
        log.info("a paused worker is woken", worker_id=worker_id)
