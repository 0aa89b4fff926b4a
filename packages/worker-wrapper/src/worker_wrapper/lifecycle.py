"""Tells the manager what happens to this worker: it started, a request completed or failed, it stopped."""

from __future__ import annotations

from shared.contracts.queues.workers import LifecycleEvent, WorkerLifecycleEvent
from shared.contracts.topology import WORKER_LIFECYCLE
from shared.contracts.vocabulary import ResultStatus
from shared.redis.bus import Bus


class Lifecycle:
    """Publishes on `worker:lifecycle`. Events about one request carry its id; events about the worker carry none."""

    def __init__(self, bus: Bus, worker_id: str) -> None:
        self._bus = bus
        self._worker_id = worker_id

    async def started(self) -> None:
        await self._publish(WorkerLifecycleEvent(worker_id=self._worker_id, event=LifecycleEvent.STARTED))

    async def stopped(self) -> None:
        await self._publish(WorkerLifecycleEvent(worker_id=self._worker_id, event=LifecycleEvent.STOPPED, exit_code=0))

    async def answered(self, request_id: str, status: ResultStatus, error: str | None) -> None:
        """Tell that a request's output was published, whatever it says."""
        is_success = status is ResultStatus.SUCCESS
        await self._publish(
            WorkerLifecycleEvent(
                worker_id=self._worker_id,
                event=LifecycleEvent.COMPLETED if is_success else LifecycleEvent.FAILED,
                request_id=request_id,
                result={"status": status.value},
                error=error,
            )
        )

    async def _publish(self, event: WorkerLifecycleEvent) -> None:
        await self._bus.publish(WORKER_LIFECYCLE, event)
