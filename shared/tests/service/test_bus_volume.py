"""A long flow of messages: the stream stays short, the server's memory flat, and what is pending stays readable."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from shared.contracts.queues.work import EngineeringMessage
from shared.contracts.topology import ENGINEERING_QUEUE, Stream
from shared.redis.client import RedisStreamClient
from shared.redis.connections import run
from shared.redis.subscription import Delivery, StreamSub
from shared.testing.factories import engineering_message
from shared.testing.redis_releases import BOTH_SERVERS
from shared.testing.redis_server import running_redis
from shared.testing.waiting import consuming, eventually

pytestmark = [pytest.mark.service, BOTH_SERVERS]
PIECE = 1000
RETENTION = 4 * PIECE  # enough that the buffers of connections, which come and go, weigh little
GROUP = "langgraph"
STREAM: Stream[EngineeringMessage] = Stream(ENGINEERING_QUEUE.name, ENGINEERING_QUEUE.model, retention=RETENTION)


class Flow:
    """Publishes piece after piece; the first message of each stays in its handler until the others are done."""

    def __init__(self, url: str, bus: RedisStreamClient) -> None:
        self._url = url
        self._bus = bus
        self._gate = asyncio.Event()
        self.handled = 0
        self.longest = 0
        self.memory: list[int] = []

    async def handle(self, message: EngineeringMessage, _: Delivery) -> None:
        if message.task_id == "held":
            await self._gate.wait()
        self.handled += 1

    async def piece(self) -> None:
        """Publish one piece and wait until it is handled."""
        self._gate.clear()
        before, held = self.handled, engineering_message("held")
        held_id = await self._bus.publish(STREAM, held)
        for start in range(0, PIECE - 1, 111):
            await self._bus.publish_many(STREAM, [engineering_message(str(start + n)) for n in range(111)])
        await eventually(lambda: self.handled == before + PIECE - 1)
        self.longest = max(self.longest, (await self._bus.stats(STREAM)).length)
        await self._bus.trim(STREAM)
        assert await self._bus.entry(STREAM, held_id) == held, "a pending entry was trimmed"
        self._gate.set()
        await eventually(lambda: self.handled == before + PIECE)
        await eventually(self._is_finished)

    async def sample(self) -> None:
        """Note the server's memory while nothing flows."""
        await self._bus.trim(STREAM)
        assert (await self._bus.stats(STREAM)).length == RETENTION
        async with Redis.from_url(self._url, socket_timeout=30) as admin:
            self.memory.append((await run(admin, "INFO", "memory"))["used_memory"])

    async def _is_finished(self) -> bool:
        return (await self._bus.stats(STREAM)).groups[GROUP].pending == 0


async def flow(binary: Path | None, pieces: int) -> None:
    async with running_redis(binary=binary) as server:
        bus = RedisStreamClient(url=server.url, service="flow")
        running = Flow(server.url, bus)
        await bus.ensure_group(STREAM, GROUP)
        async with consuming(bus, StreamSub(STREAM, GROUP, "one", running.handle)):
            for number in range(pieces):
                await running.piece()
                if number >= 4 and number % max(1, pieces // 10) == 0:
                    await running.sample()
            await running.sample()
        await bus.close()
    assert running.longest <= RETENTION + 2 * PIECE
    usual = running.memory[0]
    assert all(abs(size - usual) <= usual / 10 for size in running.memory), running.memory


async def test_a_flow_of_thousands_keeps_the_stream_short_and_the_memory_flat(redis_binary: Path | None) -> None:
    await flow(redis_binary, 8)


@pytest.mark.soak
@pytest.mark.timeout(3000)
async def test_a_flow_of_a_million_keeps_the_stream_short_and_the_memory_flat(redis_binary: Path | None) -> None:
    await flow(redis_binary, 1000)
