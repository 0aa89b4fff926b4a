"""What a run event means to somebody who waits for a task: a ProgressEvent, or nothing."""

from __future__ import annotations

from typing import Literal

from shared.contracts.queues.events import ProgressEvent, RunEvent
from shared.contracts.run_machine import RunState
from shared.contracts.vocabulary import RunEventType

ProgressType = Literal["started", "progress", "completed", "failed"]
PERCENT: dict[RunState, int] = {
    RunState.QUEUED: 0,
    RunState.PLANNING: 10,
    RunState.CODING: 30,
    RunState.REVIEWING: 60,
    RunState.PR_OPEN: 80,
    RunState.ANALYZING: 10,
    RunState.RESOLVING_SECRETS: 25,
    RunState.DEPLOYING: 50,
    RunState.VERIFYING: 85,
    RunState.COMPLETED: 100,
}
_TOLD = frozenset(
    {
        RunEventType.RUN_STARTED,
        RunEventType.STATE_CHANGED,
        RunEventType.NODE_STARTED,
        RunEventType.AGENT_MESSAGE,
        RunEventType.ARTIFACT,
        RunEventType.WAITING,
        RunEventType.RESUMED,
        RunEventType.RUN_FINISHED,
    }
)


def progress_of(event: RunEvent) -> ProgressEvent | None:
    """Return the progress an event stands for; None for what only observers of the run want."""
    if event.type not in _TOLD:
        return None
    payload = event.payload
    kind = _type_of(event)
    return ProgressEvent(
        correlation_id=event.correlation_id,
        timestamp=event.timestamp,
        type=kind,
        request_id=event.run_id,
        task_id=event.task_id,
        run_id=event.run_id,
        seq=event.seq,
        message=_message_of(event),
        progress_pct=PERCENT.get(payload.state) if payload.state is not None else None,
        current_step=payload.node or payload.stage or (payload.state.value if payload.state else None),
        error=(payload.reason or "the run did not complete") if kind == "failed" else None,
    )


def _type_of(event: RunEvent) -> ProgressType:
    if event.type is RunEventType.RUN_STARTED:
        return "started"
    if event.type is not RunEventType.RUN_FINISHED:
        return "progress"
    return "completed" if event.payload.state is RunState.COMPLETED else "failed"


def _message_of(event: RunEvent) -> str:
    payload = event.payload
    if payload.message:
        return payload.message
    if event.type is RunEventType.WAITING:
        return f"waiting: {payload.reason}"
    if event.type is RunEventType.RUN_FINISHED:
        return payload.url or payload.reason or ""
    return payload.node or (payload.state.value if payload.state else "")
