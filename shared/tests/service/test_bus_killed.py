"""kill -9 of a consumer before and after each of its steps: its heir, or itself again, completes everything."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from shared.redis.client import RedisStreamClient
from shared.testing.doomed_consumer import (
    CANCELLED,
    ENDLESS,
    FLAKY,
    GROUP,
    IDLE_MS,
    POISON,
    QUEUE,
    RETRY,
    SLOW,
    STARTED,
    STEPS,
    STEPS_OF_WAITING,
    Effects,
    Fate,
    live_and_die,
    living,
    subscription,
)
from shared.testing.factories import engineering_message
from shared.testing.redis_releases import BOTH_SERVERS
from shared.testing.waiting import consuming, eventually

pytestmark = [pytest.mark.service, BOTH_SERVERS]
FATES = [Fate(step, "before") for step in (*STEPS, *STEPS_OF_WAITING)] + [Fate(step, "after") for step in STEPS]
TASKS = ["left behind", FLAKY, SLOW, POISON, *(f"t{number}" for number in range(90))]


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[RedisStreamClient]:
    bus = RedisStreamClient(url=redis_url, service="test", retry=RETRY)
    try:
        yield bus
    finally:
        await bus.close()


@pytest.fixture
async def effects(redis_url: str) -> AsyncIterator[Effects]:
    async with Redis.from_url(redis_url, socket_timeout=30) as redis:
        yield Effects(redis)


@pytest.mark.parametrize("fate", FATES, ids=lambda fate: f"{fate.when}-{fate.step}")
async def test_a_consumer_killed_at_any_step_loses_nothing(
    fate: Fate, redis_url: str, client: RedisStreamClient, effects: Effects
) -> None:
    await client.publish_many(QUEUE, [engineering_message(task) for task in TASKS])
    await client.ensure_group(QUEUE, GROUP)
    await client.fetch(QUEUE, GROUP, "died long ago")
    assert await live_and_die(redis_url, fate, "doomed") == -signal.SIGKILL
    heir = "heir" if fate.when == "before" else "doomed"
    async with consuming(client, subscription(heir, effects)):
        await eventually(lambda: is_everything_done(client, effects))
        await eventually(lambda: is_nothing_pending(client))
    counts = await effects.counts()
    assert counts.keys() == set(TASKS) - {POISON}
    assert max(counts.values()) <= 2
    assert sum(counts.values()) - len(counts) <= 16, "one crash repeats at most what was in hand"
    letters = [letter for _, letter in await client.read(QUEUE.dead_letters)]
    assert {QUEUE.adapter.validate_json(letter.body).task_id for letter in letters} == {POISON}
    assert len(letters) in _letters_after(fate)


def _letters_after(fate: Fate) -> set[int]:
    """Return how many letters the poison may leave: one more when the kill fell between its letter and its end.

    The steps of waiting come by the clock, so they may fall there too.
    """
    if fate == Fate("bury", "after"):
        return {2}
    return {1, 2} if fate.step in STEPS_OF_WAITING else {1}


async def test_a_frozen_process_finds_its_work_taken_over_and_lets_go_of_it(
    redis_url: str, client: RedisStreamClient, effects: Effects
) -> None:
    await client.publish(QUEUE, engineering_message(ENDLESS))
    async with living(redis_url, Fate("no step", "before"), "frozen") as process:
        await eventually(lambda: has_effect(effects, STARTED))
        os.kill(process.pid or 0, signal.SIGSTOP)
        async with consuming(client, subscription("heir", effects)):
            await eventually(lambda: has_effect(effects, ENDLESS))
            await eventually(lambda: is_nothing_pending(client))
        await client.publish(QUEUE, engineering_message("next"))
        os.kill(process.pid or 0, signal.SIGCONT)
        await eventually(lambda: has_effect(effects, "next"))
        await eventually(lambda: has_effect(effects, CANCELLED))
    assert await effects.counts() == {STARTED: 1, ENDLESS: 1, CANCELLED: 1, "next": 1}


async def test_a_frozen_process_whose_heir_is_still_at_work_ends_its_own_handler_too(
    redis_url: str, client: RedisStreamClient, effects: Effects
) -> None:
    await client.publish(QUEUE, engineering_message(ENDLESS))
    async with living(redis_url, Fate("no step", "before"), "frozen") as process:
        await eventually(lambda: has_effect(effects, STARTED))
        os.kill(process.pid or 0, signal.SIGSTOP)
        await eventually(lambda: is_taken_over(client))
        os.kill(process.pid or 0, signal.SIGCONT)
        await eventually(lambda: has_effect(effects, CANCELLED))
    assert await effects.counts() == {STARTED: 1, CANCELLED: 1}


async def is_taken_over(client: RedisStreamClient) -> bool:
    return bool(await client.fetch(QUEUE, GROUP, "heir", reclaim_idle_ms=IDLE_MS))


async def has_effect(effects: Effects, name: str) -> bool:
    return name in await effects.counts()


async def is_everything_done(client: RedisStreamClient, effects: Effects) -> bool:
    letters = await client.stats(QUEUE.dead_letters)
    return len(await effects.counts()) == len(TASKS) - 1 and letters.length >= 1


async def is_nothing_pending(client: RedisStreamClient) -> bool:
    return (await client.stats(QUEUE)).groups[GROUP].pending == 0
