"""Questions to other services: numbered, repeatable under the same id, given up after a deadline.

While an answer is due the run wakes now and then and sends the same request again; receivers drop repeats by its id.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from agent_graphs.drive import Drive
from agent_graphs.identity import request_id
from agent_graphs.nodes import WaitNode
from agent_graphs.routing import Goto, go
from agent_graphs.state import Common, Dumped, EngineeringState
from agent_graphs.waits import Resumption, Wait
from shared.contracts.vocabulary import WaitKind

_DOUBLINGS = 6


def open_request(state: EngineeringState, drive: Drive, node: str, deadline_seconds: float, **more: Any) -> Dumped:
    """Return the node's request: the open one when it is to be sent again, else the next by number."""
    request = state.get("request")
    if request is not None and is_repeated(request, node):
        return {**request, "is_repeated": False}
    number = state.get("numbers", {}).get(node, 0) + 1
    return {
        "node": node,
        "number": number,
        "id": request_id(drive.run.id, node, number),
        "deadline": drive.after(deadline_seconds),
        "nudges": 0,
        "is_repeated": False,
        **more,
    }


def is_repeated(request: Dumped | None, node: str) -> bool:
    """Tell whether this node was entered to send its open request once more."""
    return request is not None and request["node"] == node and bool(request["is_repeated"])


def sent(state: Common, request: Dumped, goto: str, **update: Any) -> Goto:
    """Return the command that remembers the request and goes on to wait for it."""
    numbers = {**state.get("numbers", {}), request["node"]: request["number"]}
    return go(goto, request=request, numbers=numbers, answer=None, **update)


def answer_node(kind: WaitKind, ask: str, settle: str) -> WaitNode[EngineeringState]:
    """Return the wait for the open request's answer; without one in time it settles with None."""

    def until(state: EngineeringState, drive: Drive) -> Wait:
        request = state["request"]
        assert request is not None
        pause = drive.services.policy.nudge_seconds * float(2 ** min(request["nudges"], _DOUBLINGS))
        wake_at = min(datetime.fromisoformat(request["deadline"]), drive.now() + timedelta(seconds=pause))
        return Wait(kind, request["id"], wake_at.isoformat(), fence=request.get("fence"))

    async def then(state: EngineeringState, drive: Drive, resumed: Resumption) -> Goto:
        if resumed.kind == "answer":
            return go(settle, answer=resumed.body)
        request = state["request"]
        assert request is not None
        if drive.is_past(request["deadline"]):
            return go(settle, answer=None)
        return go(ask, request={**request, "is_repeated": True, "nudges": request["nudges"] + 1})

    return WaitNode(until, then)
