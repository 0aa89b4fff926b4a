"""Parks a run that can do nothing at the moment, tells why, and goes on where it stopped when the time has come."""

from __future__ import annotations

from datetime import UTC, datetime

from agent_graphs.drive import Drive
from agent_graphs.nodes import WaitNode
from agent_graphs.routing import Goto, go
from agent_graphs.state import Common
from agent_graphs.waits import Resumption, Wait
from shared.contracts.queues.events import AdminNotification, RunEventPayload
from shared.contracts.topology import ADMIN_NOTIFICATIONS
from shared.contracts.vocabulary import RunEventType, WaitingReason, WaitKind

PARKED = "parked"
_DOUBLINGS = 5


async def park(
    state: Common, drive: Drive, goto: str, reason: WaitingReason, message: str, *, until: str | None = None
) -> Goto:
    """Return the command that parks the run and later goes on at `goto`; administrators hear of what needs a person.

    Without `until` the pause doubles each time in a row, except where a person is asked.
    """
    number = state.get("numbers", {}).get(PARKED, 0) + 1
    if reason is WaitingReason.HUMAN:
        await drive.services.bus.publish(ADMIN_NOTIFICATIONS, _notification(drive, goto, message))
    drive.journal.add(
        RunEventType.AGENT_MESSAGE,
        f"{PARKED}:{number}",
        RunEventPayload(node=goto, reason=reason.value, message=message),
    )
    parked = {"goto": goto, "reason": reason.value, "until": _moment(drive, until, _pause(drive, reason, number))}
    return go(PARKED, parked=parked, numbers={**state.get("numbers", {}), PARKED: number})


def _moment(drive: Drive, told: str | None, pause_seconds: float) -> str:
    """Return when to go on: as told when that is a time still to come, else after the pause."""
    try:
        moment = datetime.fromisoformat(told) if told else None
    except ValueError:
        moment = None
    if moment is not None and moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment is None or moment <= drive.now():
        return drive.after(pause_seconds)
    return moment.isoformat()


def _pause(drive: Drive, reason: WaitingReason, number: int) -> float:
    policy = drive.services.policy
    if reason in (WaitingReason.HUMAN, WaitingReason.SECRET):
        return policy.human_pause_seconds
    if reason is WaitingReason.QUOTA:
        return policy.quota_pause_seconds
    return policy.refusal_pause_seconds * float(2 ** min(number - 1, _DOUBLINGS))


def _notification(drive: Drive, goto: str, message: str) -> AdminNotification:
    return AdminNotification(
        service="langgraph",
        level="error",
        title="A run waits for a person",
        text=f"Run {drive.run.id}: {message}",
        key=f"run-waits:{drive.run.id}:{goto}",
    )


def _until(state: Common, drive: Drive) -> Wait:
    parked = state["parked"]
    assert parked is not None
    number = state["numbers"][PARKED]
    key = f"{drive.run.id}:{PARKED}:{number}"
    return Wait(WaitKind.TIMER, key, parked["until"], WaitingReason(parked["reason"]))


async def _then(state: Common, drive: Drive, resumed: Resumption) -> Goto:
    parked = state["parked"]
    assert parked is not None
    return go(parked["goto"], parked=None)


PARKED_NODE: WaitNode[Common] = WaitNode(_until, _then)
