"""Levels of tests that run in containers: interrupted they remove these, killed the next run does."""

from __future__ import annotations

import signal
from dataclasses import dataclass

import pytest

from tests.lifecycle.checkout import Checkout, Run, containers, label_of, remains

INSTALLATION = "codegen.worker.installation"
END_SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]


@dataclass(frozen=True)
class Level:
    """A target, where it keeps the settings of its containers, and what removes them after a kill."""

    target: str
    folder: str
    sweeper: str


STACK = Level("test-compose", ".codegen/docker/test", "test_stack.sh")
SERVICE = Level("test-scheduler-service", ".codegen/docker/levels", "test_containers.sh")
WORKERS = Level("test-integration-milestone", ".codegen/docker/backend", "test_backend.sh")


def _labels(checkout: Checkout, level: Level) -> list[str]:
    """Return the labels of the level's services and of the workers these start."""
    projects = checkout.projects(level.folder)
    return [*map(label_of, projects), *(f"{INSTALLATION}={project}" for project in projects)]


async def _end_and_find_nothing(checkout: Checkout, run: Run, level: Level, number: signal.Signals) -> None:
    labels = _labels(checkout, level)
    run.interrupt(number)
    await run.until_all_ended()
    if number is signal.SIGKILL:
        checkout.script(level.sweeper, "sweep")
    assert remains(*labels) == [], run.said()
    assert checkout.projects(level.folder) == []


@pytest.mark.parametrize("number", END_SIGNALS)
@pytest.mark.parametrize("level", [STACK, SERVICE, WORKERS], ids=lambda level: level.target)
async def test_a_level_interrupted_while_its_containers_start_leaves_none(
    checkout: Checkout, level: Level, number: signal.Signals
) -> None:
    run = checkout.start(level.target)
    await run.until_busy(lambda: len(containers(*_labels(checkout, level))) >= 2, "the first containers")
    await _end_and_find_nothing(checkout, run, level, number)


@pytest.mark.parametrize("number", END_SIGNALS)
async def test_workers_of_an_interrupted_level_are_removed_with_it(checkout: Checkout, number: signal.Signals) -> None:
    run = checkout.start(WORKERS.target)
    await run.until_busy(
        lambda: any(containers(label) for label in _labels(checkout, WORKERS) if label.startswith(INSTALLATION)),
        "the first worker",
    )
    await _end_and_find_nothing(checkout, run, WORKERS, number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupt_of_all_levels_ends_those_that_run(checkout: Checkout, number: signal.Signals) -> None:
    run = checkout.start("test")

    def is_busy() -> bool:
        return bool(run.named("agent_graphs")) and len(containers(*_labels(checkout, STACK))) >= 2

    await run.until_busy(is_busy, "services as processes beside services in containers")
    await _end_and_find_nothing(checkout, run, STACK, number)
