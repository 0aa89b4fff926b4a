"""Repairs what Redis lost: every task and run that is not final and that nobody holds is announced again.

Announcing is harmless when nothing was lost: the reader loads the row and sees that there is nothing to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from shared.clients.api_port import Api
from shared.contracts.base import correlation, new_id
from shared.contracts.dto.work import RunDTO, TaskDTO
from shared.contracts.queues.work import DeployMessage, EngineeringMessage
from shared.contracts.topology import DEPLOY_QUEUE, ENGINEERING_QUEUE
from shared.contracts.vocabulary import TaskStatus, TaskType
from shared.infra import Clock
from shared.logging import get_logger
from shared.redis.bus import Bus

PAUSE_SETTING = "platform.paused"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a row may lie before it counts as forgotten."""

    orphan: timedelta
    overdue: timedelta


class Reconciler:
    def __init__(self, api: Api, bus: Bus, clock: Clock, patience: Patience) -> None:
        self._api = api
        self._bus = bus
        self._clock = clock
        self._patience = patience
        self._log = get_logger(__name__)

    async def run(self) -> None:
        """Announce forgotten tasks and runs; one round."""
        forgotten = [task for task in await self._orphans() if not await self._is_paused()]
        for task in forgotten:
            await self._announce(task, "task without a run")
        for run in await self._overdue():
            await self._announce(await self._api.get_task(run.task_id), "run without a lease")

    async def _is_paused(self) -> bool:
        return bool(await self._api.get_setting(PAUSE_SETTING))

    async def _orphans(self) -> list[TaskDTO]:
        """Return queued tasks nobody has made a run for."""
        before = self._clock.now() - self._patience.orphan
        tasks = await self._api.list_tasks(status=TaskStatus.QUEUED)
        old = [task for task in tasks if task.created_at < before]
        return [task for task in old if await self._may_begin(task) and not await self._api.list_runs(task_id=task.id)]

    async def _may_begin(self, task: TaskDTO) -> bool:
        """Tell whether what a task follows is done: a deployment waits until its merge is recorded."""
        if task.parent_task_id is None:
            return True
        return (await self._api.get_task(task.parent_task_id)).status is TaskStatus.COMPLETED

    async def _overdue(self) -> list[RunDTO]:
        """Return runs that are due and that nobody drives."""
        now = self._clock.now()
        runs = await self._api.list_runs(is_final=False, has_live_lease=False, is_due=True)
        late = self._patience.overdue
        return [run for run in runs if now - (run.wake_at or run.updated_at) > late]

    async def _announce(self, task: TaskDTO, why: str) -> None:
        with correlation(task.correlation_id or new_id()):
            self._log.info("announced_again", task_id=task.id, why=why)
            fields = {"task_id": task.id, "project_id": task.project_id, "user_id": task.owner_id}
            if task.type is TaskType.ENGINEERING:
                await self._bus.publish(ENGINEERING_QUEUE, EngineeringMessage(**fields))
            else:
                await self._bus.publish(DEPLOY_QUEUE, DeployMessage(**fields))
