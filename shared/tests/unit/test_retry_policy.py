"""Delays by category."""

from __future__ import annotations

import pytest

from shared.redis.retry import RetryPolicy
from shared.runtime.errors import Category

EXACT = RetryPolicy(jitter_seconds=0)


@pytest.mark.parametrize(
    ("category", "delays"),
    [
        (Category.TRANSIENT, [1, 2, 4, None]),
        (Category.UPSTREAM, [5, 10, 20, 60, None]),
        (Category.PERMANENT, [None]),
        (Category.FATAL, [None]),
    ],
)
def test_each_category_has_its_own_series(category: Category, delays: list[float | None]) -> None:
    assert [EXACT.delay(category, attempt) for attempt in range(1, len(delays) + 1)] == delays


def test_jitter_stays_within_its_bound() -> None:
    delays = [RetryPolicy().delay(Category.TRANSIENT, 1) for _ in range(200)]
    assert all(delay is not None and 0.9 <= delay <= 1.1 for delay in delays)
    assert len(set(delays)) > 100


def test_a_longer_pause_asked_for_is_honoured_and_a_shorter_one_is_not() -> None:
    assert EXACT.delay(Category.UPSTREAM, 1, retry_after_seconds=30) == 30
    assert EXACT.delay(Category.UPSTREAM, 1, retry_after_seconds=1) == 5


def test_asking_for_a_pause_does_not_bring_more_tries() -> None:
    assert EXACT.delay(Category.UPSTREAM, 5, retry_after_seconds=30) is None


def test_the_immediate_policy_retries_without_pauses() -> None:
    policy = RetryPolicy.immediate(transient=2)
    assert [policy.delay(Category.TRANSIENT, attempt) for attempt in (1, 2, 3)] == [0, 0, None]
