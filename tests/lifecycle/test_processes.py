"""Targets that run processes of this machine: an interrupt ends every one of them, stores, services and workers too."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.lifecycle.checkout import Checkout, Run

# pytest spreads its tests over processes; nothing else says that they run.
TEST_RUNNERS = 3


@dataclass(frozen=True)
class Target:
    """A make target and what shows that it is in the middle of its work."""

    name: str
    is_busy: Callable[[Run], bool]
    environment: dict[str, str] = field(default_factory=dict)


def _has(*programs: str) -> Callable[[Run], bool]:
    return lambda run: all(run.named(program) for program in programs)


PROCESSES = {"TEST_ON": "processes"}
TARGETS = [
    Target("types", _has("mypy")),
    Target("test-unit", lambda run: len(run.named("python")) >= TEST_RUNNERS),
    Target("test-api-service", _has("postgres", "redis-server", "orchestrator_api"), PROCESSES),
    Target("test-worker-manager-service", _has("redis-server", "worker_wrapper"), PROCESSES),
    Target("test-e2e", _has("postgres", "agent_graphs", "emulators")),
    Target("demo", _has("postgres", "worker_wrapper")),
    Target("stack", lambda run: "everything is ready" in run.said()),
    Target("bench-bus", _has("redis-server", "tests.benchmarks.bus")),
]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
async def test_an_interrupted_target_ends_what_it_started(
    checkout: Checkout, target: Target, number: signal.Signals
) -> None:
    run = checkout.start(target.name, **target.environment)
    await run.until_busy(lambda: target.is_busy(run), "the middle of its work")
    run.interrupt(number)
    await run.until_all_ended()
