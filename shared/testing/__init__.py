"""In-memory fakes that pass the contract suites of the real adapters."""

from shared.testing.api import FakeApi
from shared.testing.bus import FakeBus, FakeRedisStreamClient
from shared.testing.clock import FakeClock, SequenceIds

__all__ = ["FakeApi", "FakeBus", "FakeClock", "FakeRedisStreamClient", "SequenceIds"]
