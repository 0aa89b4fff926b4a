"""Wraps nodes: events around each, one interrupt per wait, cancellation and permanent errors routed in one place.

Whatever the journal holds is stored before a node acts and before a run pauses. A wait node does nothing else before
its interrupt, because a resumed node runs from its start.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

from langgraph.graph import StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, interrupt

from agent_graphs.drive import Drive
from agent_graphs.errors import RunEnded
from agent_graphs.nodes import Effect, WaitNode
from agent_graphs.parking import park
from agent_graphs.routing import CANCEL, Goto, failed, go
from agent_graphs.state import Common
from agent_graphs.waits import Resumption
from shared.contracts.vocabulary import WaitingReason
from shared.logging import get_logger
from shared.runtime.errors import Category, PlatformError

S = TypeVar("S", bound=Common)

_log = get_logger(__name__)


def add_effect(
    graph: StateGraph[Any, Any, Any, Any], name: str, node: Effect[S], schema: type[S], *, is_ending: bool = False
) -> None:
    """Add a node that acts. Endings are neither cancelled nor do their errors lead to `fail`."""

    async def run(state: Any, runtime: Runtime[Drive]) -> Goto:
        drive = runtime.context
        drive.require_lease()
        if drive.run.cancel_requested and not is_ending:
            return go(CANCEL)
        visit = _visit(state, name)
        drive.journal.node_started(name, visit)
        await drive.journal.flush()
        try:
            command = await node(cast("S", state), drive)
        except PlatformError as error:
            if is_ending:
                raise
            command = await _refused(state, drive, name, error)
        return _finished(state, drive, name, visit, command)

    graph.add_node(name, run, input_schema=schema)


def add_wait(graph: StateGraph[Any, Any, Any, Any], name: str, node: WaitNode[S], schema: type[S]) -> None:
    """Add a node that waits: exactly one interrupt."""

    async def run(state: Any, runtime: Runtime[Drive]) -> Goto:
        drive = runtime.context
        drive.require_lease()
        visit = _visit(state, name)
        if drive.is_resuming:
            drive.is_resuming = False
            drive.journal.node_resumed(name, visit)
        else:
            drive.journal.node_started(name, visit)
            await drive.journal.flush()
        resumed = Resumption.load(interrupt(node.until(cast("S", state), drive).dump()))
        if resumed.kind == "cancel":
            return _finished(state, drive, name, visit, go(CANCEL))
        try:
            command = await node.then(cast("S", state), drive, resumed)
        except PlatformError as error:
            command = await _refused(state, drive, name, error)
        if command.goto == name:
            return command
        return _finished(state, drive, name, visit, command)

    graph.add_node(name, run, input_schema=schema)


def _visit(state: Common, name: str) -> int:
    return state.get("visits", {}).get(name, 0) + 1


def _finished(state: Common, drive: Drive, name: str, visit: int, command: Goto) -> Goto:
    drive.journal.node_finished()
    visits = {**state.get("visits", {}), name: visit}
    return Command(goto=command.goto, update={**(command.update or {}), "visits": visits})


async def _refused(state: Common, drive: Drive, name: str, error: PlatformError) -> Goto:
    """Route an error that no retry can mend to `fail`, wrong credentials to a person; raise the rest for the driver."""
    if error.category is Category.FATAL:
        return await park(state, drive, name, WaitingReason.HUMAN, f"{name}: {error}")
    if error.category is not Category.PERMANENT or isinstance(error, RunEnded):
        raise error
    _log.warning("node_refused", node=name, code=error.code, error=str(error))
    return failed(error.code, f"{name}: {error}")
