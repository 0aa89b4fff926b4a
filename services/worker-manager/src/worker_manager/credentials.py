"""A worker's own credentials: its token for the api and its address of Redis. Both are limited by others."""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.clients.api_port import Api
from shared.contracts.dto.accounts import WorkerTokenRequest
from worker_manager.records import WorkerRecord


@dataclass(frozen=True, slots=True)
class WorkerCredentials:
    redis_url: str = field(repr=False)
    api_token: str | None = field(repr=False)


class CredentialIssuer:
    def __init__(self, api: Api, redis_url: str, default_owner_id: str = "") -> None:
        self._api = api
        self._redis_url = redis_url
        self._default_owner_id = default_owner_id

    async def issue(self, record: WorkerRecord, allowed_commands: list[str]) -> WorkerCredentials:
        """Return credentials for one worker; a worker of nobody gets no token. Raises ApiError leaves."""
        owner_id = record.user_id or self._default_owner_id
        if not owner_id:
            return WorkerCredentials(self._redis_url, None)
        token = await self._api.create_worker_token(
            WorkerTokenRequest(
                worker_id=record.worker_id, owner_id=owner_id, scopes=allowed_commands, run_id=record.run_id
            )
        )
        return WorkerCredentials(self._redis_url, token.token)
