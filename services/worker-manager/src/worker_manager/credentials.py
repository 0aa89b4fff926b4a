"""A worker's own credentials: its token for the api and its user of Redis. Both are limited by others."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from shared.clients.api_port import Api
from shared.contracts.dto.accounts import WorkerTokenRequest
from shared.logging import get_logger
from worker_manager.records import WorkerRecord
from worker_manager.redis_users import RedisUsers

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerCredentials:
    redis_url: str = field(repr=False)
    api_token: str | None = field(repr=False)


class CredentialIssuer:
    """Without `users` every worker gets the common address of Redis."""

    def __init__(self, api: Api, redis_url: str, default_owner_id: str = "", users: RedisUsers | None = None) -> None:
        self._api = api
        self._redis_url = redis_url
        self._default_owner_id = default_owner_id
        self._users = users
        self._strangers: set[str] = set()

    async def issue(self, record: WorkerRecord) -> WorkerCredentials:
        """Return credentials for one worker; a worker of nobody gets no token. Raises ApiError and BusError leaves."""
        owner_id = record.user_id or self._default_owner_id
        token = None
        if owner_id:
            request = WorkerTokenRequest(
                worker_id=record.worker_id, owner_id=owner_id, scopes=record.allowed, run_id=record.run_id
            )
            token = (await self._api.create_worker_token(request)).token
        redis_url = self._redis_url if self._users is None else await self._users.grant(record)
        return WorkerCredentials(redis_url, token)

    async def revoke(self, worker_id: str) -> None:
        """Take a worker's right to Redis; a repeat changes nothing."""
        if self._users is not None:
            await self._users.revoke(worker_id)

    async def compare(self, live: Collection[WorkerRecord]) -> None:
        """Give live workers back what Redis lost, and take from others what they have; once seen is not enough."""
        if self._users is None:
            return
        known = set(await self._users.workers())
        for record in live:
            if record.worker_id not in known:
                log.warning("the Redis user of a live worker is made again", worker_id=record.worker_id)
                await self._users.grant(record)
        strangers = known - {record.worker_id for record in live}
        for worker_id in sorted(strangers & self._strangers):
            log.info("the Redis user of no live worker is deleted", worker_id=worker_id)
            await self._users.revoke(worker_id)
        self._strangers = strangers
