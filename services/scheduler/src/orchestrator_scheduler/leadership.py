"""One leader per job: a round runs only in the replica that holds the job's lease."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from shared.clients.api_port import Api
from shared.clients.errors import Conflict
from shared.contracts.dto.accounts import LeaseDTO

Job = Callable[[], Awaitable[None]]


class Leader:
    """Claims a job's lease before a round and keeps it for the next one."""

    def __init__(self, api: Api, owner: str) -> None:
        self._api = api
        self._owner = owner
        self._held: dict[str, LeaseDTO] = {}

    def only(self, name: str, job: Job, ttl_seconds: float) -> Job:
        """Return a job that does nothing while another replica leads it."""

        async def round_of_leader() -> None:
            if await self._lead(f"job:{name}", ttl_seconds):
                await job()

        return round_of_leader

    async def _lead(self, name: str, ttl_seconds: float) -> bool:
        lease = self._held.get(name)
        try:
            if lease is not None:
                lease = await self._api.renew_lease(name, self._owner, lease.fence, ttl_seconds)
            else:
                lease = await self._api.claim_lease(name, self._owner, ttl_seconds)
        except Conflict:
            self._held.pop(name, None)
            return False
        self._held[name] = lease
        return True
