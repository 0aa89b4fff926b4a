"""Waits that look again and again, at first often, later seldom."""

from __future__ import annotations

from agent_graphs.drive import Drive
from agent_graphs.state import Common

_GROWTH = 1.5


def first_delay(drive: Drive) -> float:
    return drive.services.policy.poll_start_seconds


def next_delay(state: Common, drive: Drive, at_least: float = 0.0) -> float:
    """Return the next pause; `at_least` honours what a rate limit asks for."""
    grown = min(state["delay_seconds"] * _GROWTH, drive.services.policy.poll_limit_seconds)
    return max(grown, at_least)


def is_over(state: Common, drive: Drive, limit_seconds: float) -> bool:
    """Tell whether the wait that began at `since` has lasted longer than the limit."""
    return drive.after(-limit_seconds) >= state["since"]
