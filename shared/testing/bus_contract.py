"""What every bus must do, whoever implements it: publishing, consuming, fetching, observing.

A test class derives from BusContract and provides the fixtures `bus` and `make_bus` (a bus on the same streams).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from shared.contracts.base import correlation, current_correlation_id
from shared.contracts.queues.work import EngineeringMessage
from shared.contracts.topology import ENGINEERING_QUEUE, PROVISIONER_QUEUE, Stream
from shared.redis.bus import Bus
from shared.redis.retry import RetryPolicy
from shared.redis.subscription import Delivery, StreamSub
from shared.testing.factories import engineering_message, provisioner_message
from shared.testing.waiting import consuming, eventually

BusMaker = Callable[[RetryPolicy], Bus]
QUEUE = ENGINEERING_QUEUE


class Inbox:
    """A handler that remembers what it was handed."""

    def __init__(self) -> None:
        self.messages: list[EngineeringMessage] = []
        self.deliveries: list[Delivery] = []

    @property
    def tasks(self) -> list[str]:
        return [message.task_id for message in self.messages]

    async def __call__(self, message: EngineeringMessage, delivery: Delivery) -> None:
        self.messages.append(message)
        self.deliveries.append(delivery)


def subscription(inbox: Inbox, consumer: str = "one", group: str = "langgraph") -> StreamSub[EngineeringMessage]:
    return StreamSub(QUEUE, group, consumer, inbox)


async def pending(bus: Bus, group: str = "langgraph") -> int:
    return (await bus.stats(QUEUE)).groups[group].pending


class BusContract:
    """Delivery without failures."""

    async def test_a_message_arrives_as_it_was_sent_and_is_acknowledged(self, bus: Bus) -> None:
        sent, inbox = engineering_message("a"), Inbox()
        entry_id = await bus.publish(QUEUE, sent)
        assert await bus.drain_once(subscription(inbox)) == 1
        assert inbox.messages == [sent]
        assert inbox.deliveries == [Delivery("engineering:queue", entry_id, "langgraph", 1)]
        assert await pending(bus) == 0

    async def test_messages_published_together_keep_their_order(self, bus: Bus) -> None:
        inbox = Inbox()
        ids = await bus.publish_many(QUEUE, [engineering_message(str(number)) for number in range(300)])
        assert len(set(ids)) == 300
        await bus.drain_once(subscription(inbox))
        assert inbox.tasks == [str(number) for number in range(300)]

    async def test_concurrent_publishes_all_arrive_once(self, bus: Bus) -> None:
        ids = await asyncio.gather(*(bus.publish(QUEUE, engineering_message(str(n))) for n in range(100)))
        assert len(set(ids)) == 100
        read = await bus.read(QUEUE)
        assert {message.task_id for _, message in read} == {str(n) for n in range(100)}

    async def test_a_group_made_late_reads_from_the_beginning(self, bus: Bus) -> None:
        await bus.publish(QUEUE, engineering_message("early"))
        await bus.ensure_group(QUEUE, "langgraph")
        await bus.ensure_group(QUEUE, "langgraph")
        inbox = Inbox()
        await bus.drain_once(subscription(inbox))
        assert inbox.tasks == ["early"]

    async def test_every_group_gets_every_message_and_consumers_of_one_group_share(self, bus: Bus) -> None:
        one, two, other = Inbox(), Inbox(), Inbox()
        async with consuming(bus, subscription(one)), consuming(bus, subscription(two, "two")):
            async with consuming(bus, subscription(other, group="observer")):
                await bus.publish_many(QUEUE, [engineering_message(str(n)) for n in range(50)])
                await eventually(lambda: len(other.tasks) == 50 and len(one.tasks) + len(two.tasks) == 50)
        assert sorted(one.tasks + two.tasks, key=int) == [str(n) for n in range(50)]
        assert await pending(bus) == 0

    async def test_at_most_so_many_handlers_run_at_once_as_asked(self, bus: Bus) -> None:
        running, most, gate = 0, 0, asyncio.Event()

        async def handler(_: EngineeringMessage, __: Delivery) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await gate.wait()
            running -= 1

        await bus.publish_many(QUEUE, [engineering_message(str(n)) for n in range(20)])
        async with consuming(bus, StreamSub(QUEUE, "langgraph", "one", handler, concurrency=3)):
            await eventually(lambda: running == 3)
            gate.set()
        assert most == 3

    async def test_messages_with_one_key_never_overlap_and_keep_their_order(self, bus: Bus) -> None:
        started: list[str] = []
        busy: set[str] = set()
        overlaps: list[str] = []

        async def handler(message: EngineeringMessage, _: Delivery) -> None:
            if message.project_id in busy:
                overlaps.append(message.task_id)
            busy.add(message.project_id)
            started.append(message.task_id)
            await asyncio.sleep(0)
            busy.discard(message.project_id)

        await bus.publish_many(QUEUE, [engineering_message(str(n), project_id=f"p{n % 3}") for n in range(60)])
        sub = StreamSub(QUEUE, "langgraph", "one", handler, ordering_key=lambda message: message.project_id)
        async with consuming(bus, sub):
            await eventually(lambda: len(started) == 60)
        assert not overlaps
        for remainder in range(3):
            mine = [int(task) for task in started if int(task) % 3 == remainder]
            assert mine == sorted(mine)

    async def test_stopping_finishes_what_is_in_hand_and_leaves_the_rest(self, bus: Bus) -> None:
        started, gate = asyncio.Event(), asyncio.Event()
        finished: list[str] = []

        async def handler(message: EngineeringMessage, _: Delivery) -> None:
            started.set()
            await gate.wait()
            finished.append(message.task_id)

        stop = asyncio.Event()
        await bus.publish(QUEUE, engineering_message("in hand"))
        task = asyncio.create_task(bus.consume(StreamSub(QUEUE, "langgraph", "one", handler), stop))
        await started.wait()
        stop.set()
        await bus.publish(QUEUE, engineering_message("too late"))
        gate.set()
        async with asyncio.timeout(5):
            await task
        assert "in hand" in finished
        assert await pending(bus) == 0
        left = Inbox()
        await bus.drain_once(subscription(left))
        assert sorted(finished + left.tasks) == ["in hand", "too late"]

    async def test_stopping_an_idle_consumer_does_not_wait_for_its_block(self, bus: Bus) -> None:
        inbox = Inbox()
        sub = StreamSub(QUEUE, "langgraph", "one", inbox, block_ms=60_000)
        async with asyncio.timeout(5):
            async with consuming(bus, sub):
                await bus.publish(QUEUE, engineering_message("a"))
                await eventually(lambda: inbox.tasks == ["a"])

    async def test_handlers_run_inside_the_messages_correlation(self, bus: Bus) -> None:
        async def handler(message: EngineeringMessage, _: Delivery) -> None:
            assert current_correlation_id() == "chat-7"
            await bus.publish(PROVISIONER_QUEUE, provisioner_message("vps"))

        with correlation("chat-7"):
            await bus.publish(QUEUE, engineering_message("a"))
        await bus.drain_once(StreamSub(QUEUE, "langgraph", "one", handler))
        [(_, answer)] = await bus.read(PROVISIONER_QUEUE)
        assert answer.correlation_id == "chat-7"

    async def test_deliveries_are_held_to_the_rate_asked_for(self, bus: Bus) -> None:
        inbox = Inbox()
        await bus.publish_many(QUEUE, [engineering_message(str(n)) for n in range(5)])
        loop = asyncio.get_running_loop()
        start = loop.time()
        async with consuming(bus, StreamSub(QUEUE, "langgraph", "one", inbox, max_per_second=50)):
            await eventually(lambda: len(inbox.tasks) == 5)
        assert loop.time() - start >= 4 / 50

    async def test_a_fetched_message_stays_pending_until_its_holder_acknowledges(self, bus: Bus) -> None:
        await bus.ensure_group(QUEUE, "langgraph")
        assert await bus.fetch(QUEUE, "langgraph", "one") == []
        await bus.publish_many(QUEUE, [engineering_message("a"), engineering_message("b")])
        [first] = await bus.fetch(QUEUE, "langgraph", "one")
        [second] = await bus.fetch(QUEUE, "langgraph", "one")
        assert (first.message.task_id, second.message.task_id) == ("a", "b")
        assert (first.attempt, await pending(bus)) == (1, 2)
        await bus.ack(QUEUE, "langgraph", first.entry_id)
        assert await pending(bus) == 1

    async def test_a_restarted_fetcher_gets_its_own_pending_message_first(self, make_bus: BusMaker) -> None:
        before, after = make_bus(RetryPolicy.immediate()), make_bus(RetryPolicy.immediate())
        await before.publish_many(QUEUE, [engineering_message("old"), engineering_message("new")])
        await before.ensure_group(QUEUE, "langgraph")
        await before.fetch(QUEUE, "langgraph", "one")
        [again] = await after.fetch(QUEUE, "langgraph", "one", count=5)
        assert (again.message.task_id, again.attempt) == ("old", 2)
        [new] = await after.fetch(QUEUE, "langgraph", "one", count=5)
        assert (new.message.task_id, new.attempt) == ("new", 1)

    async def test_a_fetcher_takes_over_what_another_left(self, bus: Bus) -> None:
        await bus.publish(QUEUE, engineering_message("a"))
        await bus.ensure_group(QUEUE, "langgraph")
        await bus.fetch(QUEUE, "langgraph", "dead")
        assert await bus.fetch(QUEUE, "langgraph", "heir") == []
        [taken] = await bus.fetch(QUEUE, "langgraph", "heir", reclaim_idle_ms=0)
        assert taken.attempt == 2

    async def test_a_waiting_fetch_returns_as_soon_as_a_message_comes(self, bus: Bus) -> None:
        await bus.ensure_group(QUEUE, "langgraph")
        waiting = asyncio.create_task(bus.fetch(QUEUE, "langgraph", "one", block_ms=30_000))
        await eventually(lambda: bus_has_consumer(bus))
        await bus.publish(QUEUE, engineering_message("a"))
        async with asyncio.timeout(5):
            assert len(await waiting) == 1

    async def test_an_observer_reads_on_from_where_it_was(self, bus: Bus) -> None:
        ids = await bus.publish_many(QUEUE, [engineering_message(str(n)) for n in range(5)])
        first = await bus.read(QUEUE, count=2)
        assert [entry_id for entry_id, _ in first] == ids[:2]
        rest = await bus.read(QUEUE, after=first[-1][0])
        assert [message.task_id for _, message in rest] == ["2", "3", "4"]
        assert await bus.read(QUEUE, after=ids[-1], block_ms=1) == []

    async def test_stats_tell_length_and_backlog(self, bus: Bus) -> None:
        assert (await bus.stats(QUEUE)).length == 0
        ids = await bus.publish_many(QUEUE, [engineering_message("a"), engineering_message("b")])
        await bus.ensure_group(QUEUE, "langgraph")
        await bus.fetch(QUEUE, "langgraph", "one")
        stats = await bus.stats(QUEUE)
        assert (stats.length, stats.last_id) == (2, ids[-1])
        assert (stats.groups["langgraph"].pending, stats.groups["langgraph"].consumers) == (1, 1)

    async def test_trimming_keeps_the_retention_and_everything_unfinished(self, bus: Bus) -> None:
        stream: Stream[EngineeringMessage] = Stream(QUEUE.name, QUEUE.model, retention=3)
        await bus.publish_many(stream, [engineering_message(str(n)) for n in range(10)])
        await bus.ensure_group(stream, "fast")
        await bus.ensure_group(stream, "slow")
        for received in await bus.fetch(stream, "fast", "one", count=10):
            await bus.ack(stream, "fast", received.entry_id)
        assert await bus.trim(stream) == 0
        held = await bus.fetch(stream, "slow", "one", count=9)
        for received in held[4:]:
            await bus.ack(stream, "slow", received.entry_id)
        for received in held[:4][::-1]:
            assert received.message.task_id in [message.task_id for _, message in await bus.read(stream)]
        assert await bus.trim(stream) == 0
        for received in held[:4]:
            await bus.ack(stream, "slow", received.entry_id)
        assert await bus.trim(stream) == 7
        assert [message.task_id for _, message in await bus.read(stream)] == ["7", "8", "9"]

    async def test_one_entry_is_found_by_its_id_until_it_is_removed(self, bus: Bus) -> None:
        sent = engineering_message("a")
        first, second = await bus.publish_many(QUEUE, [sent, engineering_message("b")])
        assert await bus.entry(QUEUE, first) == sent
        assert await bus.remove(QUEUE, first)
        assert not await bus.remove(QUEUE, first)
        assert await bus.entry(QUEUE, first) is None
        assert [entry_id for entry_id, _ in await bus.read(QUEUE)] == [second]

    async def test_a_removed_entry_is_no_longer_delivered_to_who_held_it(self, bus: Bus) -> None:
        await bus.ensure_group(QUEUE, "langgraph")
        removed = await bus.publish(QUEUE, engineering_message("a"))
        await bus.fetch(QUEUE, "langgraph", "one")
        await bus.remove(QUEUE, removed)
        inbox = Inbox()
        await bus.publish(QUEUE, engineering_message("b"))
        await bus.drain_once(subscription(inbox))
        assert (inbox.tasks, await pending(bus)) == (["b"], 0)

    async def test_a_body_is_published_as_it_is_but_only_to_a_stream_that_exists(self, bus: Bus) -> None:
        body = engineering_message("a").model_dump_json()
        assert await bus.republish_raw(QUEUE, body) is None
        assert await is_empty(bus)
        await bus.ensure_group(QUEUE, "langgraph")
        entry_id = await bus.republish_raw(QUEUE, body)
        assert entry_id is not None
        inbox = Inbox()
        await bus.drain_once(subscription(inbox))
        assert (inbox.tasks, inbox.deliveries[0].entry_id) == (["a"], entry_id)

    async def test_what_is_older_than_an_id_is_dropped(self, bus: Bus) -> None:
        assert await bus.drop_below(QUEUE, "5-0") == 0
        ids = await bus.publish_many(QUEUE, [engineering_message(str(n)) for n in range(5)])
        assert await bus.drop_below(QUEUE, ids[3]) == 3
        assert [entry_id for entry_id, _ in await bus.read(QUEUE)] == ids[3:]

    async def test_finished_entries_are_trimmed_while_consuming(self, bus: Bus) -> None:
        stream: Stream[EngineeringMessage] = Stream(QUEUE.name, QUEUE.model, retention=100)
        inbox = Inbox()
        async with consuming(bus, StreamSub(stream, "langgraph", "one", inbox)):
            for _ in range(10):
                await bus.publish_many(stream, [engineering_message("x")] * 100)
            await eventually(lambda: len(inbox.tasks) == 1000)
        assert (await bus.stats(stream)).length < 300

    async def test_an_expired_stream_is_gone(self, bus: Bus) -> None:
        await bus.publish(QUEUE, engineering_message("a"))
        await bus.expire(QUEUE, 0.01)
        await eventually(lambda: is_empty(bus))

    async def test_counters_tell_what_happened(self, bus: Bus) -> None:
        await bus.publish(QUEUE, engineering_message("a"))
        await bus.drain_once(subscription(Inbox()))
        text = bus.render_metrics()
        assert 'bus_published_total{stream="engineering:queue"} 1' in text
        assert 'bus_handled_total{stream="engineering:queue",group="langgraph"} 1' in text


async def bus_has_consumer(bus: Bus) -> bool:
    return (await bus.stats(QUEUE)).groups["langgraph"].consumers == 1


async def is_empty(bus: Bus) -> bool:
    return (await bus.stats(QUEUE)).length == 0
