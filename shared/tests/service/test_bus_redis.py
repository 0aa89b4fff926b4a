"""The real bus passes the suites that the in-memory one passes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.contracts.topology import Stream
from shared.redis.bus import Bus
from shared.redis.client import RedisStreamClient
from shared.redis.retry import RetryPolicy
from shared.testing.bus_contract import BusContract, BusMaker
from shared.testing.bus_failure_contract import BusFailureContract
from shared.testing.bus_ownership_contract import BusOwnershipContract
from shared.testing.redis_releases import BOTH_SERVERS

pytestmark = [pytest.mark.service, BOTH_SERVERS]


@pytest.fixture
async def make_bus(redis_url: str) -> AsyncIterator[BusMaker]:
    async with AsyncExitStack() as stack:

        def make(retry: RetryPolicy) -> RedisStreamClient:
            client = RedisStreamClient(url=redis_url, service="test", retry=retry)
            stack.push_async_callback(client.close)
            return client

        yield make


class TestRedisBus(BusContract):
    pass


class TestRedisBusOwnership(BusOwnershipContract):
    pass


class TestRedisBusFailures(BusFailureContract):
    @pytest.fixture(autouse=True)
    async def _raw(self, redis_url: str) -> AsyncIterator[None]:
        self.redis = Redis.from_url(redis_url)
        yield
        await self.redis.aclose()

    async def append_raw(self, bus: Bus, stream: Stream[Any], body: bytes | None) -> None:
        await self.redis.xadd(stream.name, {"data": body} if body is not None else {"other": "x"})

    async def lose_everything(self, bus: Bus) -> None:
        await self.redis.flushdb()
