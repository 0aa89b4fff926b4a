"""What this worker is busy with, for the manager: if the worker dies, the manager answers for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from shared.logging import get_logger
from worker_wrapper import keys

# Present exactly while a request is in progress.
CLAIM_FIELDS = (
    *("request_id", "stage", "attempt", "fence", "attempt_token", "correlation_id"),
    *("input_stream", "input_entry_id", "claimed_at"),
)

logger = get_logger(__name__)


class StatusHash:
    """Owns the request's fields of `worker:status:{id}`; every other field is the manager's."""

    def __init__(self, redis: Redis, worker_id: str) -> None:
        self._redis = redis
        self._key = keys.status(worker_id)

    async def claim(self, request: Mapping[str, str], stream: str, entry_id: str) -> None:
        """Note which request is in hand, before anything is done about it."""
        fields: dict[Any, str] = {
            **request,
            "input_stream": stream,
            "input_entry_id": entry_id,
            "claimed_at": str(time.time_ns() // 1_000_000),
            "active_at": _now(),
        }
        try:
            await self._redis.hset(self._key, mapping=fields)
        except NoPermissionError as error:
            logger.error("status_not_written", error=str(error))

    async def release(self) -> None:
        """Note that the request was answered, before its message is acknowledged."""
        try:
            await self._redis.hdel(self._key, *CLAIM_FIELDS)
            await self._redis.hset(self._key, mapping={"active_at": _now()})
        except NoPermissionError as error:
            logger.error("status_not_written", error=str(error))


def _now() -> str:
    return datetime.now(UTC).isoformat()
