"""A state machine that does to a bus whatever may happen to it, beside a model that knows what must not be lost.

CODEGEN_SEED sets the draw, `random` draws one; the seed is logged.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.contracts.queues.work import EngineeringMessage
from shared.contracts.topology import ENGINEERING_QUEUE, Stream
from shared.logging import get_logger
from shared.redis.bus import Bus
from shared.redis.retry import RetryPolicy
from shared.redis.subscription import Delivery, StreamSub
from shared.runtime.errors import Category, PlatformError
from shared.testing.factories import engineering_message

RETENTION = 1
RETRIES = 2
RETRY = RetryPolicy(transient=(0.0,) * RETRIES, upstream=(), jitter_seconds=0.0, max_deliveries=1_000_000)
STREAM: Stream[EngineeringMessage] = Stream(ENGINEERING_QUEUE.name, ENGINEERING_QUEUE.model, retention=RETENTION)
GROUPS = st.sampled_from(["langgraph", "observer"])
CONSUMERS = st.sampled_from(["one", "two", "three"])
USUAL_SEED = "20240517"
NEVER_IDLE_MS = 3_600_000
T = TypeVar("T")
log = get_logger(__name__)
Opener = Callable[[RetryPolicy], Bus]


class MachineSettings(BaseSettings):
    """What a person may ask of the draw."""

    model_config = SettingsConfigDict(env_prefix="CODEGEN_", extra="ignore")

    seed: str = USUAL_SEED


class Again(PlatformError):
    """This delivery failed."""

    code = "again"


class Never(PlatformError):
    """Every delivery fails."""

    code = "never"
    category = Category.PERMANENT


@dataclass
class GroupModel:
    """What one group owes: `pending` were delivered, `fences` is each entry's highest delivery number seen."""

    pending: set[str] = field(default_factory=set)
    finished: set[str] = field(default_factory=set)
    fences: dict[str, int] = field(default_factory=dict)
    in_hand: dict[str, set[str]] = field(default_factory=dict)
    dead: int = 0

    def delivered(self, entry_id: str, attempt: int) -> None:
        assert entry_id not in self.finished, f"{entry_id} was finished and came again"
        assert attempt > self.fences.get(entry_id, 0), f"{entry_id} came with the old fence {attempt}"
        self.fences[entry_id] = attempt
        self.pending.add(entry_id)

    def settled(self, entry_id: str) -> None:
        self.pending.discard(entry_id)
        self.finished.add(entry_id)


class BusMachine(RuleBasedStateMachine):
    """Each rule is one thing a process does; a crash forgets everything but what the server knows."""

    def __init__(self, empty: Callable[[], Awaitable[None]], open_bus: Opener, count: Callable[[], None]) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._open_bus = open_bus
        self._count = count
        self._published: list[str] = []
        self._groups = {name: GroupModel() for name in ("langgraph", "observer")}
        self._processes: dict[tuple[str, str], Bus] = {}
        self._run(empty())
        self._bus = self._run(_opened(open_bus))
        for group in self._groups:
            self._run(self._bus.ensure_group(STREAM, group))

    @rule(number=st.integers(1, 4))
    def publish(self, number: int) -> None:
        first = len(self._published)
        messages = [engineering_message(str(first + index)) for index in range(number)]
        self._published += self._run(self._bus.publish_many(STREAM, messages))

    @rule(group=GROUPS, consumer=CONSUMERS, count=st.integers(1, 3))
    def read(self, group: str, consumer: str, count: int) -> None:
        self._fetch(group, consumer, count, None)

    @rule(group=GROUPS, consumer=CONSUMERS, count=st.integers(1, 3))
    def reclaim(self, group: str, consumer: str, count: int) -> None:
        self._fetch(group, consumer, count, 0)

    @rule(group=GROUPS, consumer=CONSUMERS)
    def crash(self, group: str, consumer: str) -> None:
        """The process ends where it is; its successor has its name and nothing else."""
        if (bus := self._processes.pop((group, consumer), None)) is not None:
            self._run(bus.close())
        self._groups[group].in_hand.pop(consumer, None)

    @precondition(lambda self: any(any(model.in_hand.values()) for model in self._groups.values()))
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        """Also of an entry that another consumer has taken over: its effect is there."""
        held = [
            (group, consumer, entry_id)
            for group, model in self._groups.items()
            for consumer, ids in sorted(model.in_hand.items())
            for entry_id in sorted(ids)
        ]
        group, consumer, entry_id = data.draw(st.sampled_from(held))
        self._run(self._process(group, consumer).ack(STREAM, group, entry_id))
        self._groups[group].in_hand[consumer].discard(entry_id)
        self._groups[group].settled(entry_id)

    @rule(group=GROUPS, consumer=CONSUMERS, error=st.sampled_from([None, Again, Never]), heir=st.booleans())
    def work(self, group: str, consumer: str, error: type[PlatformError] | None, heir: bool) -> None:
        """A consumer handles what is new and its own, as heir all that is pending; all of it fails, or none."""
        model = self._groups[group]
        wrong: list[AssertionError] = []

        async def handler(_: EngineeringMessage, delivery: Delivery) -> None:
            try:
                model.delivered(delivery.entry_id, delivery.attempt)
            except AssertionError as found:
                wrong.append(found)
            if error is not None:
                if error is Never or delivery.attempt > RETRIES:
                    model.dead += 1
                    model.settled(delivery.entry_id)
                raise error
            model.settled(delivery.entry_id)

        idle_ms = 0 if heir else NEVER_IDLE_MS
        self.crash(group, consumer)
        self._run(self._bus.drain_once(StreamSub(STREAM, group, consumer, handler, reclaim_idle_ms=idle_ms)))
        if wrong:
            raise wrong[0]

    @rule()
    def trim(self) -> None:
        before = self._entries()
        unfinished = self._unfinished()
        excess = before[: max(0, len(before) - RETENTION)]
        floor = min(map(_order, unfinished), default=(sys.maxsize, 0))
        may_go = [entry_id for entry_id in excess if _order(entry_id) < floor]
        assert self._run(self._bus.trim(STREAM)) == len(may_go)
        assert self._entries() == before[len(may_go) :]

    @invariant()
    def nothing_is_lost(self) -> None:
        self._count()
        stats = self._run(self._bus.stats(STREAM))
        for group, model in self._groups.items():
            assert stats.groups[group].pending == len(model.pending), group
        assert self._unfinished() <= set(self._entries()), "an unfinished entry is gone"
        letters = self._run(self._bus.stats(STREAM.dead_letters)).length
        assert letters == sum(model.dead for model in self._groups.values())

    def teardown(self) -> None:
        """Whoever comes last can finish everything."""
        try:
            for group, model in self._groups.items():
                self.work(group, "last", None, heir=True)
                assert model.finished == set(self._published)
            self.nothing_is_lost()
        finally:
            for bus in (*self._processes.values(), self._bus):
                self._run(bus.close())
            self._runner.close()

    def _fetch(self, group: str, consumer: str, count: int, reclaim_idle_ms: int | None) -> None:
        model = self._groups[group]
        bus = self._process(group, consumer)
        for received in self._run(bus.fetch(STREAM, group, consumer, count=count, reclaim_idle_ms=reclaim_idle_ms)):
            model.delivered(received.entry_id, received.attempt)
            model.in_hand.setdefault(consumer, set()).add(received.entry_id)

    def _process(self, group: str, consumer: str) -> Bus:
        if (group, consumer) not in self._processes:
            self._processes[group, consumer] = self._run(_opened(self._open_bus))
        return self._processes[group, consumer]

    def _entries(self) -> list[str]:
        return [entry_id for entry_id, _ in self._run(self._bus.read(STREAM, count=100_000))]

    def _unfinished(self) -> set[str]:
        """Return what some group has not finished yet."""
        done = set.intersection(*(model.finished for model in self._groups.values()))
        return set(self._published) - done

    def _run(self, action: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await action

        return self._runner.run(awaited())


def run_machine(
    empty: Callable[[], Awaitable[None]], open_bus: Opener, *, steps: int, steps_per_example: int = 50
) -> None:
    """Run at least so many steps, in examples of their own, each on an empty bus."""
    given = MachineSettings().seed
    drawn = random.SystemRandom().randrange(2**32) if given == "random" else int(given)
    done = 0

    def count() -> None:
        nonlocal done
        done += 1

    class Machine(BusMachine):
        def __init__(self) -> None:
            super().__init__(empty, open_bus, count)

    rules = settings(
        max_examples=max(1, min(100, steps // steps_per_example)),
        stateful_step_count=steps_per_example,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    rounds = 0
    while done < steps:
        log.info("state machine", CODEGEN_SEED=drawn + rounds, steps_done=done)
        run_state_machine_as_test(seed(drawn + rounds)(Machine), settings=rules)
        rounds += 1
    log.info("state machine has ended", steps_done=done)


async def _opened(open_bus: Opener) -> Bus:
    """Open a bus inside the loop it is used in."""
    return open_bus(RETRY)


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)
