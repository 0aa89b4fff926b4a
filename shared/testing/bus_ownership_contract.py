"""What every bus must do about who owns what: entries in hand, consumer names, messages that come twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from shared.contracts.queues.work import EngineeringMessage
from shared.redis.bus import Bus
from shared.redis.errors import AlreadyHandled, NameTaken
from shared.redis.retry import RetryPolicy
from shared.redis.subscription import Delivery, StreamSub
from shared.testing.bus_contract import QUEUE, BusMaker, Inbox, pending, subscription
from shared.testing.bus_failure_contract import IMMEDIATE, Failing, Hiccup, Hopeless, letters
from shared.testing.factories import engineering_message
from shared.testing.waiting import consuming, eventually

IDLE_MS = 200


class Working(Inbox):
    """Stays in its handler until let go; knows how many are inside, and which of them were cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Delivery] = []
        self.cancelled: list[Delivery] = []
        self.gate = asyncio.Event()

    async def __call__(self, message: EngineeringMessage, delivery: Delivery) -> None:
        self.started.append(delivery)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(delivery)
            raise
        await super().__call__(message, delivery)


def replica(name: str, handler: Inbox, concurrency: int = 5) -> StreamSub[EngineeringMessage]:
    return StreamSub(QUEUE, "langgraph", name, handler, concurrency, reclaim_idle_ms=IDLE_MS, block_ms=50)


def once(handler: Inbox) -> StreamSub[EngineeringMessage]:
    """Return a subscription that handles a task once, however often its message comes."""
    return StreamSub(QUEUE, "langgraph", "one", handler, message_id=lambda message: message.task_id)


@asynccontextmanager
async def replicas(make_bus: BusMaker, handler: Inbox, number: int) -> AsyncIterator[None]:
    """Run so many consumers of one group, each with a bus of its own, as in as many processes."""
    async with AsyncExitStack() as stack:
        for index in range(number):
            await stack.enter_async_context(consuming(make_bus(IMMEDIATE), replica(f"replica-{index}", handler)))
        yield


class BusOwnershipContract:
    """Leases of entries, names of consumers, inboxes, and what is told about a backlog."""

    async def test_a_handler_ten_times_longer_than_the_idle_bar_runs_once_among_three_replicas(
        self, make_bus: BusMaker
    ) -> None:
        bus, handler = make_bus(IMMEDIATE), Working()
        await bus.publish_many(QUEUE, [engineering_message(str(n)) for n in range(3)])
        async with replicas(make_bus, handler, 3):
            await eventually(lambda: len(handler.started) == 3)
            await _elapsed(10 * IDLE_MS / 1000)
            assert await pending(bus) == 3
            handler.gate.set()
            await eventually(lambda: len(handler.tasks) == 3)
        assert [delivery.attempt for delivery in handler.started] == [1, 1, 1]
        assert (await pending(bus), handler.cancelled) == (0, [])

    async def test_what_waits_for_its_retry_is_not_taken_over_either(self, make_bus: BusMaker) -> None:
        patient = RetryPolicy(transient=(5 * IDLE_MS / 1000,), jitter_seconds=0)
        owner, other = Failing("a", Hiccup(), times=1), Inbox()
        bus = make_bus(patient)
        await bus.publish(QUEUE, engineering_message("a"))
        async with consuming(bus, replica("owner", owner)):
            await eventually(lambda: owner.attempts == [1])
            async with consuming(make_bus(IMMEDIATE), replica("other", other)):
                await eventually(lambda: owner.tasks == ["a"])
        assert (owner.attempts, other.tasks) == ([1, 2], [])

    async def test_a_handler_whose_entry_was_taken_over_is_cancelled_and_settles_nothing(
        self, make_bus: BusMaker
    ) -> None:
        bus, handler = make_bus(IMMEDIATE), Working()
        await bus.publish_many(QUEUE, [engineering_message("a"), engineering_message("b")])
        async with consuming(bus, replica("frozen", handler)):
            await eventually(lambda: len(handler.started) == 2)
            [taken] = await make_bus(IMMEDIATE).fetch(QUEUE, "langgraph", "heir", reclaim_idle_ms=0)
            await eventually(lambda: len(handler.cancelled) == 1)
            assert handler.cancelled[0].entry_id == taken.entry_id
            assert taken.attempt > handler.cancelled[0].attempt
            handler.gate.set()
            await eventually(lambda: handler.tasks == ["b"])
            await bus.publish(QUEUE, engineering_message("c"))
            await eventually(lambda: handler.tasks == ["b", "c"])
            await eventually(lambda: has_pending(bus, 1))
        assert await letters(bus) == []

    async def test_a_second_consumer_with_the_same_name_waits_until_the_first_has_ended(
        self, make_bus: BusMaker
    ) -> None:
        first, second = Working(), Inbox()
        one, two = make_bus(IMMEDIATE), make_bus(IMMEDIATE)
        await one.publish(QUEUE, engineering_message("a"))
        stop = asyncio.Event()
        consuming_first = asyncio.create_task(one.consume(replica("same", first), stop))
        await eventually(lambda: len(first.started) == 1)
        async with consuming(two, replica("same", second)):
            await eventually(lambda: says_its_name_is_taken(two))
            await one.ping()
            first.gate.set()
            await one.publish(QUEUE, engineering_message("b"))
            await eventually(lambda: first.tasks == ["a", "b"])
            assert second.tasks == []
            stop.set()
            await consuming_first
            await one.publish(QUEUE, engineering_message("c"))
            await eventually(lambda: second.tasks == ["c"])
            await two.ping()
        assert [delivery.attempt for delivery in first.deliveries + second.deliveries] == [1, 1, 1]

    async def test_the_name_of_a_consumer_that_is_gone_is_forgotten_once_nothing_is_pending_under_it(
        self, make_bus: BusMaker
    ) -> None:
        bus, handler, gone = make_bus(IMMEDIATE), Inbox(), make_bus(IMMEDIATE)
        await bus.ensure_group(QUEUE, "langgraph")
        await bus.publish_many(QUEUE, [engineering_message(task) for task in "abc"])
        assert len(await gone.fetch(QUEUE, "langgraph", "gone", count=2)) == 2
        patient = replace(replica("heir", handler), reclaim_idle_ms=60_000, forget_seconds=0.1)
        async with consuming(make_bus(IMMEDIATE), patient):
            await eventually(lambda: handler.tasks == ["c"])
            await _elapsed(0.5)
            assert await consumers(bus) == 2, "what is pending under a name is never lost with it"
        async with consuming(make_bus(IMMEDIATE), replace(patient, reclaim_idle_ms=IDLE_MS)):
            await eventually(lambda: sorted(handler.tasks) == ["a", "b", "c"])
            await eventually(lambda: has_consumers(bus, 1))

    async def test_the_name_of_a_living_consumer_is_not_forgotten_however_long_it_waits(
        self, make_bus: BusMaker
    ) -> None:
        bus, waiting = make_bus(IMMEDIATE), Inbox()
        async with consuming(bus, replace(replica("waiting", waiting), block_ms=30_000)):
            await bus.publish(QUEUE, engineering_message("a"))
            await eventually(lambda: waiting.tasks == ["a"])
            async with consuming(make_bus(IMMEDIATE), replace(replica("other", Inbox()), forget_seconds=0.05)):
                await eventually(lambda: has_consumers(bus, 2))
                await _elapsed(0.5)
                assert await consumers(bus) == 2

    async def test_consumers_of_two_groups_may_share_a_name(self, make_bus: BusMaker) -> None:
        one, two = Inbox(), Inbox()
        bus, other = make_bus(IMMEDIATE), make_bus(IMMEDIATE)
        async with consuming(bus, subscription(one)), consuming(other, subscription(two, group="observer")):
            await bus.publish(QUEUE, engineering_message("a"))
            await eventually(lambda: one.tasks == two.tasks == ["a"])

    async def test_every_message_three_times_and_in_any_order_is_handled_once(self, bus: Bus) -> None:
        handler = Inbox()
        sent = [engineering_message(str(number)) for number in range(20)]
        await bus.publish_many(QUEUE, [*sent, *reversed(sent), *sent[10:], *sent[:10]])
        async with consuming(bus, once(handler)):
            await eventually(lambda: has_pending(bus, 0))
            await eventually(lambda: len(handler.tasks) >= 20)
        assert sorted(handler.tasks, key=int) == [str(number) for number in range(20)]
        assert 'bus_duplicates_total{stream="engineering:queue",group="langgraph"} 40' in bus.render_metrics()

    async def test_the_redelivery_of_an_entry_is_no_duplicate(self, bus: Bus) -> None:
        handler = Failing("a", Hiccup(), times=1)
        await bus.publish(QUEUE, engineering_message("a"))
        await bus.drain_once(once(handler))
        await bus.drain_once(once(handler))
        assert (handler.attempts, handler.tasks) == ([1, 2], ["a"])

    async def test_a_replayed_dead_letter_is_no_duplicate(self, bus: Bus) -> None:
        handler = Failing("a", Hopeless(), times=1)
        await bus.publish(QUEUE, engineering_message("a"))
        await bus.drain_once(once(handler))
        [letter] = await letters(bus)
        await bus.republish_raw(QUEUE, letter.body)
        await bus.drain_once(once(handler))
        assert handler.tasks == ["a"]

    async def test_an_inbox_forgets_in_time(self, bus: Bus) -> None:
        handler = Inbox()
        sub = replace(once(handler), remember_seconds=0.01)
        await bus.publish(QUEUE, engineering_message("a"))
        await bus.drain_once(sub)
        await _elapsed(0.02)
        await bus.publish(QUEUE, engineering_message("a"))
        await bus.drain_once(sub)
        assert handler.tasks == ["a", "a"]

    async def test_a_handler_that_found_the_effect_in_its_own_transaction_is_done(self, bus: Bus) -> None:
        handler = Failing("a", AlreadyHandled())
        await bus.publish(QUEUE, engineering_message("a"))
        await bus.drain_once(subscription(handler))
        assert (handler.attempts, await letters(bus), await pending(bus)) == ([1], [], 0)
        assert 'bus_duplicates_total{stream="engineering:queue",group="langgraph"} 1' in bus.render_metrics()

    async def test_a_message_without_an_ordering_key_is_buried_and_its_neighbours_are_handled(self, bus: Bus) -> None:
        handler = Inbox()
        keys = {"a": "key", "c": "key"}
        await bus.publish_many(QUEUE, [engineering_message(task) for task in "abc"])
        sub = replace(subscription(handler), ordering_key=lambda message: keys[message.task_id])
        async with consuming(bus, sub):
            await eventually(lambda: handler.tasks == ["a", "c"])
            await eventually(lambda: has_pending(bus, 0))
        [letter] = await letters(bus)
        assert (letter.reason, letter.error) == ("permanent_error", "no ordering key: KeyError('b')")

    async def test_metrics_tell_the_backlog_of_a_group(self, bus: Bus) -> None:
        handler = Working()
        await bus.publish_many(QUEUE, [engineering_message(str(n)) for n in range(5)])
        async with consuming(bus, replica("one", handler, concurrency=2)):
            await eventually(lambda: gauge(bus, "bus_pending") == 2.0)
            assert gauge(bus, "bus_lag") == 3.0
            assert 0 <= gauge(bus, "bus_oldest_age_seconds") < 60
            handler.gate.set()


async def has_pending(bus: Bus, number: int) -> bool:
    groups = (await bus.stats(QUEUE)).groups
    return "langgraph" in groups and groups["langgraph"].pending == number


async def consumers(bus: Bus) -> int:
    """Return how many names the group knows."""
    return (await bus.stats(QUEUE)).groups["langgraph"].consumers


async def has_consumers(bus: Bus, number: int) -> bool:
    return await consumers(bus) == number


async def _elapsed(seconds: float) -> None:
    """Return when so much time has passed: what must not happen had its chance."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    await eventually(lambda: loop.time() >= end)


async def says_its_name_is_taken(bus: Bus) -> bool:
    try:
        await bus.ping()
    except NameTaken:
        return True
    return False


def gauge(bus: Bus, name: str) -> float:
    """Return a gauge of the queue's group; -1 while it is not told."""
    for line in bus.render_metrics().splitlines():
        if line.startswith(f"{name}{{"):
            return float(line.split()[-1])
    return -1.0
