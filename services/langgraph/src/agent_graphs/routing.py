"""The commands nodes return: where to go next and what to remember."""

from __future__ import annotations

from typing import Any

from langgraph.types import Command

Goto = Command[str]
CANCEL = "cancel"
FAIL = "fail"


def go(goto: str, **update: Any) -> Goto:
    """Return the command that writes `update` and goes on at `goto`."""
    return Command(goto=goto, update=update)


def failed(reason: str, message: str, event: str = "RUN_FAILED") -> Goto:
    """Return the command that ends the run with a typed reason."""
    return go(FAIL, failure={"event": event, "reason": reason, "message": message})
