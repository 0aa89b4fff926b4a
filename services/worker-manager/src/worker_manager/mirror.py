"""Copies workers' states to the api, behind the work: a failure is retried and never fails a command."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from shared.clients.api_port import Api
from shared.clients.errors import ApiError, Unavailable
from shared.contracts.dto.infrastructure import WorkerReport
from shared.logging import get_logger
from worker_manager.records import WorkerState

RETRY_SECONDS = 5.0
LAST_SECONDS = 2.0
log = get_logger(__name__)


class ApiMirror:
    """Keeps the latest unsent report of each worker; only the latest is worth sending."""

    def __init__(self, api: Api, *, retry_seconds: float = RETRY_SECONDS) -> None:
        self._api = api
        self._retry_seconds = retry_seconds
        self._unsent: dict[str, WorkerReport] = {}
        self._has_unsent = asyncio.Event()

    def put(self, state: WorkerState | None) -> None:
        """Tell this state once the api takes it; a state without a status or its types is not worth telling."""
        if state is None or state.status is None or state.worker_type is None or state.agent_type is None:
            return
        self._unsent[state.worker_id] = WorkerReport(
            id=state.worker_id,
            worker_type=state.worker_type,
            agent_type=state.agent_type,
            status=state.status,
            user_id=state.user_id,
            task_id=state.task_id,
            run_id=state.run_id,
            exit_code=state.exit_code,
            error=state.error,
        )
        self._has_unsent.set()

    async def drain_once(self) -> int:
        """Send what is unsent; return how many reports stay because the api did not answer."""
        for worker_id, report in list(self._unsent.items()):
            try:
                await self._api.report_worker(report)
            except Unavailable as error:
                log.warning("the api did not take worker reports", unsent=len(self._unsent), error=str(error))
                break
            except ApiError as error:
                log.error("the api refused a worker report", worker_id=worker_id, code=error.code, error=str(error))
            if self._unsent.get(worker_id) is report:
                del self._unsent[worker_id]
        if not self._unsent:
            self._has_unsent.clear()
        return len(self._unsent)

    async def run(self, stop: asyncio.Event) -> None:
        """Send reports as they come until stop, then for a moment what is left; the rest is told by the next start."""
        sending = asyncio.create_task(self._send_for_ever())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({sending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            stopping.cancel()
            with suppress(asyncio.CancelledError):
                await sending
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await self.drain_once()

    async def _send_for_ever(self) -> None:
        while True:
            await self._has_unsent.wait()
            if await self.drain_once():
                await asyncio.sleep(self._retry_seconds)
