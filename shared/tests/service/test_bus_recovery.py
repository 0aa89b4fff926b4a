"""What only a real server shows: killed consumers, restarts, restricted users, deleted entries."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from shared.redis.client import RedisStreamClient
from shared.redis.connections import run
from shared.redis.errors import BusDenied, BusUnavailable
from shared.redis.retry import RetryPolicy
from shared.redis.subscription import StreamSub
from shared.testing.bus_contract import QUEUE, Inbox, pending, subscription
from shared.testing.bus_failure_contract import Failing, Hiccup
from shared.testing.factories import engineering_message
from shared.testing.redis_releases import BOTH_SERVERS
from shared.testing.redis_server import RunningRedis, running_redis
from shared.testing.store_process import StoreFolder
from shared.testing.waiting import consuming, eventually

pytestmark = [pytest.mark.service, BOTH_SERVERS]
SAMPLE = Path(__file__).with_name("sample_service.py")
WORKER_RULES = "reset on >pw ~engineering:queue -@all +ping +hello +auth +client +xreadgroup +xack +xautoclaim"


@pytest.fixture
async def durable(redis_binary: Path | None) -> AsyncIterator[RunningRedis]:
    """A server of the test's own whose data survives a restart."""
    folder = StoreFolder("redis-durable-")
    try:
        async with running_redis(folder.path / "data", appendonly=True, binary=redis_binary) as server:
            yield server
    finally:
        folder.remove()


@asynccontextmanager
async def client_of(url: str, service: str = "test") -> AsyncIterator[RedisStreamClient]:
    client = RedisStreamClient(url=url, service=service, retry=RetryPolicy.immediate())
    try:
        yield client
    finally:
        await client.close()


async def kill_a_consumer_in_its_handler(redis_url: str) -> None:
    """Run a consumer named sample-1 in a process of its own and kill it while it handles."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SAMPLE),
        env={"REDIS_URL": redis_url, "HANDLER_SECONDS": "3600"},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with asyncio.timeout(20):
        while b'"handling"' not in await process.stderr.readline():
            pass
    process.kill()
    await process.wait()


async def test_a_killed_consumers_message_is_taken_over_by_another(redis_url: str, bus: RedisStreamClient) -> None:
    await bus.publish(QUEUE, engineering_message("a"))
    await kill_a_consumer_in_its_handler(redis_url)
    assert await pending(bus, "sample") == 1
    heir = Inbox()
    async with consuming(bus, StreamSub(QUEUE, "sample", "sample-2", heir, reclaim_idle_ms=50)):
        await eventually(lambda: heir.tasks == ["a"])
    assert heir.deliveries[0].attempt == 2
    assert await pending(bus, "sample") == 0


async def test_a_killed_consumer_recovers_its_message_at_once_when_it_is_back(
    redis_url: str, bus: RedisStreamClient
) -> None:
    await bus.publish(QUEUE, engineering_message("a"))
    await kill_a_consumer_in_its_handler(redis_url)
    await bus.publish(QUEUE, engineering_message("b"))
    again = Inbox()
    async with consuming(bus, StreamSub(QUEUE, "sample", "sample-1", again, reclaim_idle_ms=3_600_000)):
        await eventually(lambda: again.tasks == ["a", "b"])


async def test_a_consumer_and_a_publisher_survive_a_restart_of_the_server(durable: RunningRedis) -> None:
    inbox = Inbox()
    async with client_of(durable.url) as bus:
        async with consuming(bus, subscription(inbox)):
            await bus.publish(QUEUE, engineering_message("before"))
            await eventually(lambda: inbox.tasks == ["before"])
            await durable.stop()
            with pytest.raises(BusUnavailable):
                await bus.publish(QUEUE, engineering_message("during"))
            await durable.start()
            await bus.publish(QUEUE, engineering_message("after"))
            await eventually(lambda: inbox.tasks[-1] == "after")
        assert await pending(bus) == 0


async def test_a_publish_waits_out_a_short_restart(durable: RunningRedis) -> None:
    async with client_of(durable.url) as bus:
        await bus.publish(QUEUE, engineering_message("before"))
        await durable.stop()
        publishing = asyncio.gather(*(bus.publish(QUEUE, engineering_message(str(n))) for n in range(20)))
        await durable.start()
        assert len(await publishing) == 20
        assert {message.task_id for _, message in await bus.read(QUEUE)} >= {str(n) for n in range(20)}


async def test_a_frozen_server_holds_things_up_and_loses_nothing(durable: RunningRedis) -> None:
    inbox = Inbox()
    async with client_of(durable.url) as bus:
        async with consuming(bus, subscription(inbox)):
            await bus.publish(QUEUE, engineering_message("before"))
            await eventually(lambda: inbox.tasks == ["before"])
            durable.pause()
            publishing = asyncio.create_task(bus.publish(QUEUE, engineering_message("during")))
            await asyncio.wait({publishing}, timeout=0.3)
            assert not publishing.done()
            durable.resume()
            await publishing
            await eventually(lambda: inbox.tasks == ["before", "during"])


async def test_retries_survive_a_restart_of_server_and_consumer(durable: RunningRedis) -> None:
    async with client_of(durable.url) as bus:
        handler = Failing("a", Hiccup())
        await bus.publish(QUEUE, engineering_message("a"))
        await bus.drain_once(subscription(handler))
        await durable.stop()
        await durable.start()
    async with client_of(durable.url) as bus:
        await bus.drain_once(subscription(handler))
        assert handler.attempts == [1, 2]


async def test_a_restricted_user_fetches_and_acknowledges_and_waits_for_a_missing_group(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as admin, client_of(redis_url) as manager:
        await run(admin, *f"ACL SETUSER worker {WORKER_RULES}".split())
        async with client_of(redis_url.replace("redis://", "redis://worker:pw@")) as worker:
            assert await worker.fetch(QUEUE, "pool", "w1", block_ms=10) == []
            await manager.ensure_group(QUEUE, "pool")
            await manager.publish_many(QUEUE, [engineering_message("a"), engineering_message("b")])
            [first] = await worker.fetch(QUEUE, "pool", "w1", block_ms=1000, reclaim_idle_ms=60_000)
            await worker.ack(QUEUE, "pool", first.entry_id)
            await worker.fetch(QUEUE, "pool", "w1", block_ms=1000)
            with pytest.raises(BusDenied):
                await worker.publish(QUEUE, engineering_message("forbidden"))
        async with client_of(redis_url.replace("redis://", "redis://worker:pw@")) as restarted:
            [again] = await restarted.fetch(QUEUE, "pool", "w1", block_ms=1000)
            assert (again.message.task_id, again.attempt) == ("b", 2)
        await run(admin, "ACL DELUSER", "worker")


async def test_pending_entries_that_were_deleted_do_not_stay_pending(redis_url: str, bus: RedisStreamClient) -> None:
    ids = await bus.publish_many(QUEUE, [engineering_message(str(n)) for n in range(3)])
    await bus.ensure_group(QUEUE, "langgraph")
    await bus.fetch(QUEUE, "langgraph", "dead", count=3)
    async with Redis.from_url(redis_url) as admin:
        await admin.xdel(QUEUE.name, ids[1])
    heir = Inbox()
    async with consuming(bus, StreamSub(QUEUE, "langgraph", "heir", heir, reclaim_idle_ms=20)):
        await eventually(lambda: heir.tasks == ["0", "2"])
        await eventually(lambda: nothing_pending(bus))


async def test_connections_carry_the_name_of_the_process(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as admin, client_of(redis_url, "worker-manager") as bus:
        async with consuming(bus, StreamSub(QUEUE, "langgraph", "langgraph-1", Inbox())):
            await eventually(lambda: has_names(admin, {"worker-manager", "langgraph-1:langgraph"}))


async def test_a_given_client_is_used_and_left_open(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as given:
        bus, inbox = RedisStreamClient(given, service="test"), Inbox()
        async with consuming(bus, subscription(inbox)):
            await bus.publish(QUEUE, engineering_message("a"))
            await eventually(lambda: inbox.tasks == ["a"])
        await bus.close()
        assert await given.ping()


async def test_a_cancelled_consumer_leaves_its_message_pending(bus: RedisStreamClient) -> None:
    started = asyncio.Event()

    async def handler(*_: object) -> None:
        started.set()
        await asyncio.Event().wait()

    await bus.publish(QUEUE, engineering_message("a"))
    task = asyncio.create_task(bus.consume(StreamSub(QUEUE, "langgraph", "one", handler), asyncio.Event()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await pending(bus) == 1


async def nothing_pending(bus: RedisStreamClient) -> bool:
    return await pending(bus) == 0


async def has_names(admin: Redis, wanted: set[str]) -> bool:
    names = [client["name"] for client in await admin.client_list()]
    return all(any(name.startswith(prefix) for name in names) for prefix in wanted)
