"""The ports seam: scoped to its context, inherited by tasks, clear when missing."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from datetime import timedelta
from typing import Any

import pytest

from shared.infra import Infra, InfraMissing, RandomIds, SystemClock, get_infra, reset_infra, set_infra
from shared.runtime.errors import Category
from shared.testing import FakeApi, FakeBus, FakeClock, SequenceIds


def new_infra() -> Infra:
    return Infra(bus=FakeBus(), clock=FakeClock(), api=FakeApi(), ids=SequenceIds())


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    reset_infra()
    yield
    reset_infra()


def test_what_was_set_is_got() -> None:
    infra = new_infra()
    set_infra(infra)
    assert get_infra() is infra


def test_missing_infrastructure_says_what_to_do() -> None:
    with pytest.raises(InfraMissing, match=r"set_infra\(Infra\(") as missing:
        get_infra()
    assert missing.value.category is Category.FATAL


def test_resetting_forgets() -> None:
    set_infra(new_infra())
    reset_infra()
    with pytest.raises(InfraMissing):
        get_infra()


def test_another_context_does_not_see_it() -> None:
    other = contextvars.copy_context()
    set_infra(new_infra())
    with pytest.raises(InfraMissing):
        other.run(get_infra)


async def test_parallel_tasks_each_keep_their_own() -> None:
    both_set = asyncio.Barrier(2)

    async def use() -> tuple[Infra, Infra]:
        mine = new_infra()
        set_infra(mine)
        await both_set.wait()
        return mine, get_infra()

    (first, got_first), (second, got_second) = await asyncio.gather(use(), use())
    assert got_first is first
    assert got_second is second
    with pytest.raises(InfraMissing):
        get_infra()


async def test_a_task_inherits_what_was_set_before_it_started() -> None:
    infra = new_infra()
    set_infra(infra)

    async def get() -> Infra:
        return get_infra()

    assert await asyncio.create_task(get()) is infra


def test_the_value_cannot_be_changed() -> None:
    infra: Any = new_infra()
    with pytest.raises(FrozenInstanceError):
        infra.bus = FakeBus()


async def test_a_fake_clocks_sleepers_wake_when_their_time_has_come() -> None:
    clock = FakeClock()
    start = clock.now()
    sleeper = asyncio.create_task(clock.sleep(10))
    await asyncio.sleep(0)
    clock.advance(9.5)
    await asyncio.sleep(0)
    assert not sleeper.done()
    clock.advance(0.5)
    await sleeper
    assert (clock.now() - start, clock.monotonic()) == (timedelta(seconds=10), 10.0)


def test_identifiers_are_counted_or_random() -> None:
    ids = SequenceIds("run-")
    assert [ids.new(), ids.new()] == ["run-1", "run-2"]
    assert RandomIds().new() != RandomIds().new()


def test_the_systems_time_is_aware() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)
