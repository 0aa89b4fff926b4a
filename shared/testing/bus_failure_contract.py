"""What every bus must do when handlers, messages or the server fail."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from typing import Any

import pytest

from shared.contracts.queues.events import DeadLetter, DeadLetterReason
from shared.contracts.queues.work import EngineeringMessage
from shared.contracts.topology import ENGINEERING_QUEUE, WORKER_COMMANDS, Stream
from shared.redis.bus import Bus
from shared.redis.codec import MAX_BODY_BYTES
from shared.redis.errors import BodyTooLarge
from shared.redis.retry import RetryPolicy
from shared.redis.subscription import Delivery, StreamSub
from shared.runtime.errors import Category, PlatformError
from shared.testing.bus_contract import BusMaker, Inbox, pending, subscription
from shared.testing.factories import engineering_message
from shared.testing.waiting import consuming, eventually

QUEUE = ENGINEERING_QUEUE
TEN_MEGABYTES = 10 * 1024 * 1024
RETRIES = 3
IMMEDIATE = RetryPolicy.immediate(transient=RETRIES)


class Hiccup(PlatformError):
    """It may work next time."""

    code = "hiccup"


class Hopeless(PlatformError):
    """It will never work."""

    code = "hopeless"
    category = Category.PERMANENT


class Broken(PlatformError):
    """This process cannot go on."""

    code = "broken"
    category = Category.FATAL


class Failing(Inbox):
    """Fails the deliveries of one task, the first so many times; remembers every attempt."""

    def __init__(self, task_id: str, error: Exception, times: int = 1_000_000) -> None:
        super().__init__()
        self.attempts: list[int] = []
        self._task_id = task_id
        self._error = error
        self._times = times

    async def __call__(self, message: EngineeringMessage, delivery: Delivery) -> None:
        if message.task_id == self._task_id:
            self.attempts.append(delivery.attempt)
            if len(self.attempts) <= self._times:
                raise self._error
        await super().__call__(message, delivery)


async def letters(bus: Bus, stream: Stream[Any] = QUEUE) -> list[DeadLetter]:
    return [letter for _, letter in await bus.read(stream.dead_letters)]


class BusFailureContract(ABC):
    """Subclasses say how a raw entry is appended and how the server loses everything."""

    @abstractmethod
    async def append_raw(self, bus: Bus, stream: Stream[Any], body: bytes | None) -> None:
        """Append an entry that no typed writer would write; None is one without the field `data`."""

    @abstractmethod
    async def lose_everything(self, bus: Bus) -> None:
        """Do what FLUSHALL does."""

    async def test_a_transient_failure_is_delivered_again_until_it_works(self, bus: Bus) -> None:
        handler = Failing("a", Hiccup(), times=2)
        await bus.publish(QUEUE, engineering_message("a"))
        async with consuming(bus, subscription(handler)):
            await eventually(lambda: handler.tasks == ["a"])
        assert handler.attempts == [1, 2, 3]
        assert (await letters(bus), await pending(bus)) == ([], 0)

    async def test_poison_is_buried_after_exactly_so_many_deliveries_and_its_neighbours_are_handled(
        self, make_bus: BusMaker
    ) -> None:
        bus, handler = make_bus(IMMEDIATE), Failing("bad", Hiccup("still no"))
        bad = engineering_message("bad")
        await bus.publish_many(QUEUE, [engineering_message("a"), bad, engineering_message("b")])
        async with consuming(bus, subscription(handler)):
            await eventually(lambda: has_letters(bus, 1))
        assert handler.attempts == [1, 2, 3, 4]
        assert handler.tasks == ["a", "b"]
        assert await pending(bus) == 0
        [letter] = await letters(bus)
        assert (letter.reason, letter.attempts) == (DeadLetterReason.RETRIES_EXHAUSTED, 4)
        assert (letter.stream, letter.group, letter.error) == ("engineering:queue", "langgraph", "hiccup: still no")
        assert EngineeringMessage.model_validate_json(letter.body) == bad
        assert letter.correlation_id == bad.correlation_id

    async def test_a_permanent_failure_is_buried_at_once(self, bus: Bus) -> None:
        handler = Failing("a", Hopeless())
        await bus.publish(QUEUE, engineering_message("a"))
        await bus.drain_once(subscription(handler))
        assert handler.attempts == [1]
        assert [letter.reason for letter in await letters(bus)] == [DeadLetterReason.PERMANENT_ERROR]

    async def test_a_bug_in_a_handler_counts_as_transient(self, bus: Bus) -> None:
        handler = Failing("a", KeyError("oops"), times=1)
        await bus.publish(QUEUE, engineering_message("a"))
        async with consuming(bus, subscription(handler)):
            await eventually(lambda: handler.tasks == ["a"])
        assert handler.attempts == [1, 2]

    async def test_a_fatal_failure_ends_consuming_and_leaves_the_message_pending(self, bus: Bus) -> None:
        await bus.publish(QUEUE, engineering_message("a"))
        async with asyncio.timeout(5):
            try:
                await bus.consume(subscription(Failing("a", Broken())), asyncio.Event())
            except Broken:
                assert await pending(bus) == 1
                return
        raise AssertionError("consume() returned although the handler's error was fatal")

    async def test_a_waiting_retry_does_not_hold_up_its_neighbours(self, make_bus: BusMaker) -> None:
        bus = make_bus(RetryPolicy(transient=(3600.0,), jitter_seconds=0))
        handler = Failing("slow", Hiccup())
        sub = StreamSub(QUEUE, "langgraph", "one", handler, concurrency=1)
        await bus.publish(QUEUE, engineering_message("slow"))
        async with consuming(bus, sub):
            await eventually(lambda: handler.attempts == [1])
            await bus.publish_many(QUEUE, [engineering_message(str(n)) for n in range(100)])
            await eventually(lambda: len(handler.tasks) == 100)
        assert await pending(bus) == 1

    async def test_the_next_of_a_key_waits_for_the_retry_of_the_one_before(self, make_bus: BusMaker) -> None:
        bus = make_bus(RetryPolicy(transient=(0.05,), jitter_seconds=0))
        handler = Failing("first", Hiccup(), times=1)
        await bus.publish_many(
            QUEUE,
            [
                engineering_message("first", project_id="p"),
                engineering_message("second", project_id="p"),
                engineering_message("other", project_id="q"),
            ],
        )
        sub = StreamSub(QUEUE, "langgraph", "one", handler, ordering_key=lambda message: message.project_id)
        async with consuming(bus, sub):
            await eventually(lambda: len(handler.tasks) == 3)
        assert handler.tasks == ["other", "first", "second"]

    async def test_a_stopped_consumers_failed_message_is_delivered_first_at_its_next_start(self, bus: Bus) -> None:
        handler = Failing("old", Hiccup(), times=1)
        await bus.publish(QUEUE, engineering_message("old"))
        assert await bus.drain_once(subscription(handler)) == 1
        await bus.publish(QUEUE, engineering_message("new"))
        async with consuming(bus, StreamSub(QUEUE, "langgraph", "one", handler, concurrency=1)):
            await eventually(lambda: len(handler.tasks) == 2)
        assert (handler.tasks, handler.attempts) == (["old", "new"], [1, 2])

    async def test_a_dead_consumers_message_is_taken_over_while_the_heir_is_consuming(self, bus: Bus) -> None:
        await bus.ensure_group(QUEUE, "langgraph")
        await bus.publish_many(QUEUE, [engineering_message(str(n)) for n in range(10)])
        assert len(await bus.fetch(QUEUE, "langgraph", "dead", count=10)) == 10
        heir = Inbox()
        sub = StreamSub(QUEUE, "langgraph", "heir", heir, reclaim_idle_ms=30, batch=3)
        async with consuming(bus, sub):
            await eventually(lambda: len(heir.tasks) == 10)
        assert heir.tasks == [str(n) for n in range(10)]
        assert {delivery.attempt for delivery in heir.deliveries} == {2}
        assert await pending(bus) == 0

    async def test_a_message_that_never_lets_a_handler_finish_is_buried_in_the_end(self, make_bus: BusMaker) -> None:
        bus = make_bus(RetryPolicy(max_deliveries=2))
        await bus.publish(QUEUE, engineering_message("killer"))
        await bus.ensure_group(QUEUE, "langgraph")
        await make_bus(IMMEDIATE).fetch(QUEUE, "langgraph", "one")
        await make_bus(IMMEDIATE).fetch(QUEUE, "langgraph", "one")
        inbox = Inbox()
        await bus.drain_once(subscription(inbox))
        assert inbox.tasks == []
        [letter] = await letters(bus)
        assert (letter.reason, letter.attempts) == (DeadLetterReason.RETRIES_EXHAUSTED, 3)

    async def test_what_cannot_be_read_is_buried_with_its_reason_and_its_body(self, bus: Bus) -> None:
        good = json.loads(engineering_message("a").model_dump_json())
        await self.append_raw(bus, QUEUE, b"\xff not json")
        await self.append_raw(bus, QUEUE, json.dumps({**good, "task_id": 7}).encode())
        await self.append_raw(bus, QUEUE, json.dumps({**good, "version": "9"}).encode())
        await self.append_raw(bus, QUEUE, json.dumps(good).encode()[:-9])
        await self.append_raw(bus, QUEUE, None)
        await bus.publish(QUEUE, engineering_message("b"))
        inbox = Inbox()
        await bus.drain_once(subscription(inbox))
        assert inbox.tasks == ["b"]
        buried = await letters(bus)
        assert [letter.reason for letter in buried] == [
            "undecodable",
            "invalid",
            "unknown_version",
            "undecodable",
            "undecodable",
        ]
        assert buried[0].body == "\\xff not json"
        assert "task_id" in buried[1].error
        assert await pending(bus) == 0

    async def test_a_body_that_is_too_large_is_refused_when_written_and_buried_when_read(self, bus: Bus) -> None:
        with pytest.raises(BodyTooLarge):
            await bus.publish(QUEUE, engineering_message("x" * MAX_BODY_BYTES))
        good = engineering_message("a").model_dump_json()
        await self.append_raw(bus, QUEUE, f"{good[:-1]}{' ' * TEN_MEGABYTES}}}".encode())
        await bus.publish(QUEUE, engineering_message("b"))
        inbox = Inbox()
        async with consuming(bus, subscription(inbox)):
            await eventually(lambda: inbox.tasks == ["b"])
            await eventually(lambda: has_letters(bus, 1))
        [letter] = await letters(bus)
        assert letter.reason is DeadLetterReason.INVALID
        assert letter.error == f"the body has {len(good) + TEN_MEGABYTES} bytes, {MAX_BODY_BYTES} are allowed"
        assert letter.body.startswith(good[:-1])
        assert await pending(bus) == 0

    async def test_an_unknown_version_of_a_tagged_message_is_named_as_such(self, bus: Bus) -> None:
        body = b'{"command":"delete","worker_id":"w","version":"2"}'
        await self.append_raw(bus, WORKER_COMMANDS, body)
        await bus.ensure_group(WORKER_COMMANDS, "worker-manager")
        assert await bus.fetch(WORKER_COMMANDS, "worker-manager", "one") == []
        [letter] = await letters(bus, WORKER_COMMANDS)
        assert (letter.reason, letter.body) == (DeadLetterReason.UNKNOWN_VERSION, body.decode())

    async def test_a_field_of_a_newer_writer_is_ignored(self, bus: Bus) -> None:
        newer = {**json.loads(engineering_message("a").model_dump_json()), "added_later": True}
        await self.append_raw(bus, QUEUE, json.dumps(newer).encode())
        inbox = Inbox()
        await bus.drain_once(subscription(inbox))
        assert inbox.tasks == ["a"]
        assert await letters(bus) == []

    async def test_a_consumer_goes_on_after_the_server_lost_everything(self, bus: Bus) -> None:
        inbox = Inbox()
        sub = StreamSub(QUEUE, "langgraph", "one", inbox, block_ms=20)
        async with consuming(bus, sub):
            await bus.publish(QUEUE, engineering_message("before"))
            await eventually(lambda: inbox.tasks == ["before"])
            await self.lose_everything(bus)
            await bus.publish(QUEUE, engineering_message("after"))
            await eventually(lambda: inbox.tasks == ["before", "after"])
        assert await pending(bus) == 0

    async def test_a_fetcher_goes_on_after_the_server_lost_everything(self, bus: Bus) -> None:
        await bus.ensure_group(QUEUE, "langgraph")
        await self.lose_everything(bus)
        await bus.publish(QUEUE, engineering_message("after"))
        assert await bus.fetch(QUEUE, "langgraph", "one") == []
        [received] = await bus.fetch(QUEUE, "langgraph", "one")
        assert received.message.task_id == "after"


async def has_letters(bus: Bus, number: int) -> bool:
    return len(await letters(bus)) == number
