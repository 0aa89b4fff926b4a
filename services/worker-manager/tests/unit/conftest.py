"""A manager in memory for every test."""

from __future__ import annotations

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from worker_manager.testing import InMemoryManager


@pytest.fixture
def redis() -> FakeAsyncRedis:
    return FakeAsyncRedis(server=FakeServer(), protocol=2)


@pytest.fixture
def world(redis: FakeAsyncRedis) -> InMemoryManager:
    return InMemoryManager(redis, max_concurrent_workers=2, creation_wait_seconds=300, worker_retain_seconds=60)
