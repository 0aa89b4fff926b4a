"""The right to drive a run: claimed, renewed while it is driven, handed back with what the run waits for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import StrEnum

from agent_graphs.drive import Drive
from agent_graphs.errors import RunBusy
from agent_graphs.waits import Answer, Signal
from shared.clients.api_port import Api
from shared.clients.errors import Conflict
from shared.contracts.dto.work import RunClaim, RunDTO, RunRenew
from shared.infra import Clock
from shared.logging import get_logger
from shared.runtime.errors import PlatformError

_ASK_AGAIN_SECONDS = 0.2
_RENEWALS_PER_LEASE = 3

_log = get_logger(__name__)


class NotClaimed(StrEnum):
    """Why a run is not ours to drive now; none of these loses a signal that matters."""

    FINAL = "already_final"
    PROJECT_BUSY = "project_busy"
    HELD = "lease_held"


class Leases:
    """Claims under one stable name per replica, so that a restarted process takes its own runs up at once."""

    def __init__(self, api: Api, clock: Clock, owner: str, *, ttl_seconds: float = 30) -> None:
        self._api = api
        self._clock = clock
        self._ttl_seconds = ttl_seconds
        self.owner = owner

    async def claim(self, run_id: str, signal: Signal) -> RunDTO | NotClaimed:
        """Claim the run; an answer waits for the holder to let go and raises RunBusy when it does not."""
        patience = self._ttl_seconds if isinstance(signal, Answer) else 0
        deadline = self._clock.monotonic() + patience
        while True:
            try:
                return await self._api.claim_run(run_id, RunClaim(owner=self.owner, ttl_seconds=self._ttl_seconds))
            except Conflict as refusal:
                why = _KNOWN.get(refusal.api_code)
                if why is None:
                    raise
            if why is not NotClaimed.HELD or not patience:
                return why
            if self._clock.monotonic() >= deadline:
                raise RunBusy(run_id)
            await self._clock.sleep(_ASK_AGAIN_SECONDS)

    @asynccontextmanager
    async def kept(self, drive: Drive) -> AsyncIterator[None]:
        """Renew the lease in the background; what the api tells meanwhile reaches the drive."""
        heartbeat = asyncio.create_task(self._renew(drive))
        try:
            yield
        finally:
            heartbeat.cancel()
            with suppress(asyncio.CancelledError):
                await heartbeat

    async def _renew(self, drive: Drive) -> None:
        body = RunRenew(owner=self.owner, fence=drive.run.fence, ttl_seconds=self._ttl_seconds)
        while True:
            await self._clock.sleep(self._ttl_seconds / _RENEWALS_PER_LEASE)
            try:
                seen = await self._api.renew_run(drive.run.id, body)
            except Conflict:
                drive.is_lease_lost = True
                return
            except PlatformError as error:
                _log.warning("lease_not_renewed", run_id=drive.run.id, error=str(error))
                continue
            drive.run = drive.run.model_copy(update={"cancel_requested": seen.cancel_requested})


_KNOWN = {reason.value: reason for reason in NotClaimed}
