"""A key that lives as long as the worker breathes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.logging import get_logger
from worker_wrapper import keys

TTL_SECONDS = 30

logger = get_logger(__name__)


class Heartbeat:
    """Renews `worker:heartbeat:{id}`; while Redis is away it only misses beats."""

    def __init__(self, redis: Redis, worker_id: str, interval_seconds: float = 10.0) -> None:
        self._redis = redis
        self._key = keys.heartbeat(worker_id)
        self._interval_seconds = interval_seconds

    async def beat(self) -> None:
        """Renew the key once."""
        try:
            await self._redis.set(self._key, datetime.now(UTC).isoformat(), ex=TTL_SECONDS)
        except (RedisError, OSError) as error:
            logger.warning("heartbeat_missed", error=str(error))

    async def run(self, stop: asyncio.Event) -> None:
        """Beat until told to stop."""
        while not stop.is_set():
            await self.beat()
            try:
                await asyncio.wait_for(stop.wait(), self._interval_seconds)
            except TimeoutError:
                continue
