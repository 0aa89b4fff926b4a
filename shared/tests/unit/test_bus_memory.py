"""The in-memory bus passes the same suites as the real one."""

from __future__ import annotations

from typing import Any

import pytest

from shared.contracts.topology import ENGINEERING_QUEUE, Stream
from shared.redis.bus import Bus
from shared.redis.errors import BusUnavailable
from shared.redis.retry import RetryPolicy
from shared.testing import FakeBus
from shared.testing.bus_contract import BusContract, BusMaker
from shared.testing.bus_failure_contract import IMMEDIATE, BusFailureContract
from shared.testing.bus_ownership_contract import BusOwnershipContract
from shared.testing.factories import engineering_message


@pytest.fixture
def bus() -> FakeBus:
    return FakeBus()


@pytest.fixture
def make_bus() -> BusMaker:
    first = FakeBus()

    def make(retry: RetryPolicy) -> FakeBus:
        another = FakeBus(retry=retry)
        another.streams = first.streams
        return another

    return make


class TestMemoryBus(BusContract):
    pass


class TestMemoryBusOwnership(BusOwnershipContract):
    pass


class TestMemoryBusFailures(BusFailureContract):
    async def append_raw(self, bus: Bus, stream: Stream[Any], body: bytes | None) -> None:
        assert isinstance(bus, FakeBus)
        bus.append_raw(stream, body)

    async def lose_everything(self, bus: Bus) -> None:
        assert isinstance(bus, FakeBus)
        bus.streams.flush()


async def test_a_bus_that_is_down_refuses_every_call() -> None:
    bus = FakeBus(retry=IMMEDIATE)
    bus.is_down = True
    with pytest.raises(BusUnavailable):
        await bus.publish(ENGINEERING_QUEUE, engineering_message())
    with pytest.raises(BusUnavailable):
        await bus.ping()
