"""Whatever happens to the in-memory bus, nothing is lost."""

from __future__ import annotations

import pytest

from shared.redis.retry import RetryPolicy
from shared.testing import FakeBus
from shared.testing.bus_machine import run_machine
from shared.testing.memory_streams import MemoryStreams


class Memory:
    """The server that the fake's processes share."""

    def __init__(self) -> None:
        self._streams: MemoryStreams = FakeBus().streams

    async def empty(self) -> None:
        self._streams.flush()

    def open_bus(self, retry: RetryPolicy) -> FakeBus:
        bus = FakeBus(retry=retry)
        bus.streams = self._streams
        return bus


def test_nothing_is_lost_in_memory_whatever_happens() -> None:
    memory = Memory()
    run_machine(memory.empty, memory.open_bus, steps=300, steps_per_example=30)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_nothing_is_lost_in_memory_in_ten_thousand_steps() -> None:
    memory = Memory()
    run_machine(memory.empty, memory.open_bus, steps=10_000)
