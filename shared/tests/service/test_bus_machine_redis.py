"""Whatever happens to the real bus, nothing is lost."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from shared.redis.client import RedisStreamClient
from shared.redis.retry import RetryPolicy
from shared.testing.bus_machine import run_machine
from shared.testing.redis_releases import BOTH_SERVERS

pytestmark = [pytest.mark.service, BOTH_SERVERS]


class Server:
    """A database that one test has for itself."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def empty(self) -> None:
        async with Redis.from_url(self._url, socket_timeout=30) as client:
            await client.flushdb()

    def open_bus(self, retry: RetryPolicy) -> RedisStreamClient:
        return RedisStreamClient(url=self._url, service="test", retry=retry)


def test_nothing_is_lost_whatever_happens(redis_server_url: str) -> None:
    server = Server(redis_server_url)
    run_machine(server.empty, server.open_bus, steps=300, steps_per_example=30)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_nothing_is_lost_in_ten_thousand_steps(redis_server_url: str) -> None:
    server = Server(redis_server_url)
    run_machine(server.empty, server.open_bus, steps=10_000)
