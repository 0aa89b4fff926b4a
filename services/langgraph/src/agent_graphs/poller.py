"""Looks at runs whose time has come: checks, workflows, timers, overdue answers, cancellations."""

from __future__ import annotations

import asyncio

from agent_graphs.driver import Driver
from agent_graphs.waits import Poke
from shared.clients.api_port import Api
from shared.contracts.dto.work import RunDTO
from shared.contracts.vocabulary import WaitingReason
from shared.logging import get_logger
from shared.runtime.errors import Category, PlatformError

_log = get_logger(__name__)


class Poller:
    """Drives every due run once per round, a few at a time; a run's own back-off is in its wake_at."""

    def __init__(self, api: Api, driver: Driver, owner: str, *, concurrency: int = 8) -> None:
        self._api = api
        self._driver = driver
        self._owner = owner
        self._has_resumed = False
        self._slots = asyncio.Semaphore(concurrency)

    async def run(self) -> None:
        """One round; the first also takes up what this replica was driving when it died."""
        due = await self._api.list_runs(is_final=False, is_due=True, has_live_lease=False)
        if not self._has_resumed:
            due += await self._left_behind()
            self._has_resumed = True
        async with asyncio.TaskGroup() as group:
            for run in due:
                if _may_wake(run):
                    group.create_task(self._look_at(run))

    async def _left_behind(self) -> list[RunDTO]:
        """Runs under a live lease in this replica's name: nothing else would wake them before it ends."""
        held = await self._api.list_runs(is_final=False, has_live_lease=True)
        return [run for run in held if run.lease_owner == self._owner]

    async def _look_at(self, run: RunDTO) -> None:
        async with self._slots:
            try:
                await self._driver.drive(run.id, Poke())
            except PlatformError as error:
                if error.category is Category.FATAL:
                    raise
                _log.warning("poll_failed", run_id=run.id, code=error.code, error=str(error))
            except Exception as bug:  # noqa: BLE001 - supervises the drives: one run's bug must not end the others
                _log.error("poll_crashed", run_id=run.id, exc_info=bug)


def _may_wake(run: RunDTO) -> bool:
    """Tell whether the poller may move the run: a project's next run is woken by the one before it."""
    return run.cancel_requested or run.waiting_reason is not WaitingReason.PROJECT_BUSY
