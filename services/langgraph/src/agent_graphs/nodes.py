"""The two kinds of nodes: those that act and those that wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from agent_graphs.drive import Drive
from agent_graphs.routing import Goto
from agent_graphs.state import Common
from agent_graphs.waits import Resumption, Wait

S = TypeVar("S", bound=Common)
Effect = Callable[[S, Drive], Awaitable[Goto]]


@dataclass(frozen=True, slots=True)
class WaitNode(Generic[S]):
    """`until` says what is awaited, from state and clock alone; `then` turns what came into the next step.

    A `then` that goes back to its own node waits again within the same visit.
    """

    until: Callable[[S, Drive], Wait]
    then: Callable[[S, Drive, Resumption], Awaitable[Goto]]
