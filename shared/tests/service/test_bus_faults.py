"""The server fails while work flows: flushed, restarted, paused, full; a group destroyed, a name stolen; poison."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis

from shared.contracts.queues.work import EngineeringMessage
from shared.redis.client import RedisStreamClient
from shared.redis.connections import Connections, run
from shared.redis.errors import BusFull, BusUnavailable, GroupMissing
from shared.redis.group_log import RedisGroupLog
from shared.redis.keys import consumer_name_key
from shared.redis.retry import RetryPolicy
from shared.redis.subscription import Delivery, StreamSub
from shared.testing.bus_contract import QUEUE, Inbox, pending
from shared.testing.bus_failure_contract import IMMEDIATE, Failing, Hiccup, Hopeless, letters
from shared.testing.bus_ownership_contract import Working, has_pending, replica
from shared.testing.factories import engineering_message
from shared.testing.redis_releases import BOTH_SERVERS
from shared.testing.redis_server import RunningRedis, running_redis
from shared.testing.store_process import StoreFolder
from shared.testing.waiting import consuming, eventually

Fault = Callable[[RunningRedis, float], Coroutine[None, None, None]]
pytestmark = [pytest.mark.service, BOTH_SERVERS]


@pytest.fixture
async def own_server(redis_binary: Path | None) -> AsyncIterator[RunningRedis]:
    """A server of the test's own whose data survives a restart."""
    folder = StoreFolder("redis-faults-")
    try:
        async with running_redis(folder.path / "data", appendonly=True, binary=redis_binary) as server:
            yield server
    finally:
        folder.remove()


@asynccontextmanager
async def client_of(url: str, retry: RetryPolicy = IMMEDIATE) -> AsyncIterator[RedisStreamClient]:
    client = RedisStreamClient(url=url, service="test", retry=retry)
    try:
        yield client
    finally:
        await client.close()


async def do(url: str, *command: str | int) -> None:
    """Run one administrative command."""
    async with Redis.from_url(url, socket_timeout=30) as admin:
        await run(admin, *command)


async def test_flushed_again_and_again_mid_flow_consumers_of_two_groups_go_on(
    redis_url: str, bus: RedisStreamClient
) -> None:
    one, two = Inbox(), Inbox()
    subs = [StreamSub(QUEUE, group, "c", inbox, block_ms=200) for group, inbox in (("one", one), ("two", two))]
    async with consuming(bus, subs[0]), consuming(bus, subs[1]):
        for number in range(5):
            await bus.publish_many(QUEUE, [engineering_message(f"{number}-{index}") for index in range(100)])
            await do(redis_url, "FLUSHALL")
            marker = f"after {number}"
            await bus.publish(QUEUE, engineering_message(marker))
            await eventually(partial(have_both, one, two, marker))
    assert (await pending(bus, "one"), await pending(bus, "two")) == (0, 0)


async def test_a_retry_whose_message_was_flushed_away_is_forgotten(redis_url: str) -> None:
    handler = Failing("a", Hiccup())

    async def flushing(message: EngineeringMessage, delivery: Delivery) -> None:
        if message.task_id == "a":
            await do(redis_url, "FLUSHALL")
        await handler(message, delivery)

    async with client_of(redis_url) as bus:
        await bus.publish(QUEUE, engineering_message("a"))
        async with consuming(bus, StreamSub(QUEUE, "langgraph", "one", flushing, block_ms=50)):
            await eventually(lambda: handler.attempts == [1])
            await bus.publish(QUEUE, engineering_message("b"))
            await eventually(lambda: handler.tasks == ["b"])
            await eventually(lambda: 'bus_in_flight{stream="engineering:queue",group="langgraph"} 0' in text(bus))
    assert handler.attempts == [1]


async def test_what_is_renewed_or_claimed_in_a_group_that_is_gone_is_told_so(redis_url: str) -> None:
    connections = Connections(None, redis_url, "test")
    group_log = RedisGroupLog(connections, QUEUE.name, "langgraph", "one", block_ms=10, retention=1)
    with pytest.raises(GroupMissing):
        await group_log.keep(["1-0"])
    with pytest.raises(GroupMissing):
        await group_log.backlog()
    assert not await group_log.claim("1-0")
    await group_log.close()
    await connections.close()


async def test_delivery_counts_are_told_however_much_of_its_own_a_consumer_holds_in_between(redis_url: str) -> None:
    async with client_of(redis_url) as bus:
        ids = await bus.publish_many(QUEUE, [engineering_message(str(number)) for number in range(1100)])
        await bus.ensure_group(QUEUE, "langgraph")
        await bus.fetch(QUEUE, "langgraph", "dead", count=1)
        await bus.fetch(QUEUE, "langgraph", "one", count=1098)
        await bus.fetch(QUEUE, "langgraph", "dead", count=1)
        for _ in range(3):
            async with client_of(redis_url) as again:
                await again.fetch(QUEUE, "langgraph", "dead", count=2)
        connections = Connections(None, redis_url, "test")
        group_log = RedisGroupLog(connections, QUEUE.name, "langgraph", "one", block_ms=10, retention=1)
        await passed(0.3)
        await group_log.keep(ids[1:-1])
        swept = [*(await group_log.sweep(300, "0-0", 1100)).entries]
        assert [(entry.id, entry.attempt) for entry in swept] == [(ids[0], 5), (ids[-1], 5)]
        await group_log.close()
        await connections.close()


async def test_a_destroyed_group_is_made_again_and_delivers_what_is_kept(
    redis_url: str, bus: RedisStreamClient
) -> None:
    inbox = Inbox()
    await bus.publish(QUEUE, engineering_message("before"))
    async with consuming(bus, StreamSub(QUEUE, "langgraph", "one", inbox, block_ms=5000)):
        await eventually(lambda: inbox.tasks == ["before"])
        await do(redis_url, "XGROUP DESTROY", QUEUE.name, "langgraph")
        await bus.publish(QUEUE, engineering_message("after"))
        await eventually(lambda: inbox.tasks == ["before", "before", "after"])


async def test_a_server_killed_mid_flow_and_started_again_loses_nothing_it_confirmed(own_server: RunningRedis) -> None:
    inbox = Failing("poison", Hiccup())
    confirmed: set[str] = set()
    enough = asyncio.Event()

    async def publish_on(bus: RedisStreamClient) -> None:
        number = 0
        while not enough.is_set():
            try:
                await bus.publish(QUEUE, engineering_message(str(number)))
            except BusUnavailable:
                continue
            confirmed.add(str(number))
            number += 1

    async with client_of(own_server.url) as bus, client_of(own_server.url) as writer:
        await bus.publish(QUEUE, engineering_message("poison"))
        async with consuming(bus, StreamSub(QUEUE, "langgraph", "one", inbox, block_ms=100)):
            writing = asyncio.create_task(publish_on(writer))
            for _ in range(2):
                await eventually(partial(has_grown, confirmed, len(confirmed) + 50))
                await own_server.kill()
                await own_server.start()
            await eventually(partial(has_grown, confirmed, len(confirmed) + 50))
            enough.set()
            await writing
            await eventually(lambda: confirmed <= set(inbox.tasks))
        assert await pending(bus) == 0
        assert [letter.attempts for letter in await letters(bus)] == [4]
    assert inbox.attempts == [1, 2, 3, 4]


async def pause(server: RunningRedis, seconds: float) -> None:
    await do(server.url, "CLIENT PAUSE", int(seconds * 1000))
    await passed(seconds)


async def restart(server: RunningRedis, seconds: float) -> None:
    await server.kill()
    await passed(seconds)
    await server.start()


async def passed(seconds: float) -> None:
    began = time.monotonic()
    await eventually(lambda: time.monotonic() - began > seconds, 3 * seconds)


async def work_through(fault: Fault, seconds: float, server: RunningRedis) -> None:
    """Let a server be away for longer than the idle bar while handlers run and replicas look for idle work."""
    handler, idle_ms, url = Working(), int(seconds * 1000 * 0.8), server.url
    async with client_of(url) as one, client_of(url) as two, client_of(url) as three:
        await one.publish_many(QUEUE, [engineering_message(str(number)) for number in range(3)])
        subs = [
            StreamSub(QUEUE, "langgraph", name, handler, reclaim_idle_ms=idle_ms, block_ms=100) for name in ("a", "b")
        ]
        async with consuming(one, subs[0]), consuming(two, subs[1]):
            await eventually(lambda: len(handler.started) == 3)
            away = asyncio.create_task(fault(server, seconds))
            late = asyncio.create_task(publish_in_the_end(three, "late"))
            await away
            await passed(seconds)
            handler.gate.set()
            await late
            await eventually(lambda: {"0", "1", "2", "late"} <= set(handler.tasks), 60)
            await eventually(lambda: has_pending(one, 0))
    assert {delivery.attempt for delivery in handler.started} == {1}
    assert ([*sorted(handler.tasks)[:3], *set(handler.tasks[3:])], handler.cancelled) == (["0", "1", "2", "late"], [])


@pytest.mark.parametrize("fault", [pause, restart])
async def test_a_server_that_was_away_lets_no_replica_take_over_what_is_in_hand(
    fault: Fault, own_server: RunningRedis
) -> None:
    await work_through(fault, 2.0, own_server)


@pytest.mark.soak
@pytest.mark.timeout(400)
@pytest.mark.parametrize("fault", [pause, restart])
async def test_a_server_that_was_away_for_a_minute_lets_no_replica_take_over_what_is_in_hand(
    fault: Fault, own_server: RunningRedis
) -> None:
    await work_through(fault, 60, own_server)


async def test_a_full_server_refuses_writers_and_keeps_dead_letters_until_there_is_room(
    own_server: RunningRedis,
) -> None:
    handler = Failing("bad", Hopeless())
    async with client_of(own_server.url) as bus:
        gate = asyncio.Event()

        async def when_full(message: EngineeringMessage, delivery: Delivery) -> None:
            await gate.wait()
            await handler(message, delivery)

        await bus.publish_many(QUEUE, [engineering_message("bad"), engineering_message("good")])
        async with consuming(bus, StreamSub(QUEUE, "langgraph", "one", when_full, reclaim_idle_ms=200)):
            await eventually(lambda: has_pending(bus, 2))
            await do(own_server.url, "CONFIG SET", "maxmemory", "1")
            with pytest.raises(BusFull):
                await bus.publish(QUEUE, engineering_message("too much"))
            gate.set()
            await eventually(lambda: handler.tasks == ["good"])
            await eventually(lambda: has_pending(bus, 1))
            assert (await letters(bus), handler.attempts) == ([], [1])
            await do(own_server.url, "CONFIG SET", "maxmemory", "0")
            await eventually(lambda: has_pending(bus, 0))
        assert [letter.reason for letter in await letters(bus)] == ["permanent_error"]


async def test_who_lost_its_name_ends_its_handlers_and_begins_again(redis_url: str) -> None:
    handler = Working()
    async with client_of(redis_url) as bus:
        await bus.publish(QUEUE, engineering_message("a"))
        async with consuming(bus, replica("one", handler)):
            await eventually(lambda: len(handler.started) == 1)
            await do(redis_url, "SET", consumer_name_key(QUEUE.name, "langgraph", "one"), "somebody-who-has-died")
            await eventually(lambda: len(handler.cancelled) == 1)
            handler.gate.set()
            await eventually(lambda: handler.tasks == ["a"])
            await eventually(lambda: has_pending(bus, 0))
    assert [delivery.attempt for delivery in handler.started] == [1, 2]


async def test_poison_dies_after_exactly_its_tries_and_holds_no_neighbour_up(redis_url: str) -> None:
    latencies: list[float] = []
    sent_at: dict[str, float] = {}
    attempts: dict[str, list[int]] = {}

    async def handler(message: EngineeringMessage, delivery: Delivery) -> None:
        if message.task_id.startswith("poison"):
            attempts.setdefault(message.task_id, []).append(delivery.attempt)
            raise Hiccup
        latencies.append(time.monotonic() - sent_at[message.task_id])

    async with client_of(redis_url, RetryPolicy(transient=(0.3, 0.3, 0.3), jitter_seconds=0)) as bus:
        async with consuming(bus, StreamSub(QUEUE, "langgraph", "one", handler)):
            for number in range(40):
                sent_at[str(number)] = time.monotonic()
                neighbours = [engineering_message(f"poison-{number}"), engineering_message(str(number))]
                await bus.publish_many(QUEUE, neighbours)
            await eventually(lambda: len(latencies) == 40)
            await eventually(lambda: has_pending(bus, 0))
        assert len(await letters(bus)) == 40
    assert set(map(tuple, attempts.values())) == {(1, 2, 3, 4)}
    assert max(latencies) < 1.0


async def publish_in_the_end(bus: RedisStreamClient, task: str) -> None:
    """Publish, however often it takes."""
    while True:
        try:
            await bus.publish(QUEUE, engineering_message(task))
        except BusUnavailable:
            continue
        return


def have_both(one: Inbox, two: Inbox, task: str) -> bool:
    return task in one.tasks and task in two.tasks


def has_grown(confirmed: set[str], size: int) -> bool:
    return len(confirmed) > size


def text(bus: RedisStreamClient) -> str:
    return bus.render_metrics()
