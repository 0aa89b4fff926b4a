"""What becomes of run events for those who wait for a task."""

from __future__ import annotations

import pytest

from orchestrator_api.relay.progress import progress_of
from shared.contracts.queues.events import RunEvent, RunEventPayload
from shared.contracts.run_machine import RunState
from shared.contracts.vocabulary import RunEventType, TaskType


def event(kind: RunEventType, payload: RunEventPayload | None = None) -> RunEvent:
    return RunEvent(
        run_id="r1",
        task_id="t1",
        project_id="p1",
        user_id="u1",
        kind=TaskType.ENGINEERING,
        seq=3,
        type=kind,
        payload=payload or RunEventPayload(),
    )


def test_a_state_is_a_step_with_a_percentage() -> None:
    told = progress_of(event(RunEventType.STATE_CHANGED, RunEventPayload(state=RunState.REVIEWING)))
    assert told is not None
    assert (told.type, told.task_id, told.run_id, told.seq) == ("progress", "t1", "r1", 3)
    assert (told.current_step, told.progress_pct, told.error) == ("REVIEWING", 60, None)


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (RunState.COMPLETED, "completed"),
        (RunState.FAILED, "failed"),
        (RunState.CANCELLED, "failed"),
        (RunState.ROLLED_BACK, "failed"),
    ],
)
def test_the_end_says_how_it_ended(state: RunState, kind: str) -> None:
    payload = RunEventPayload(state=state, reason="because", url="http://host/")
    told = progress_of(event(RunEventType.RUN_FINISHED, payload))
    assert told is not None
    assert told.type == kind
    assert told.error == ("because" if kind == "failed" else None)


def test_a_wait_names_its_reason() -> None:
    told = progress_of(event(RunEventType.WAITING, RunEventPayload(reason="quota")))
    assert told is not None
    assert told.message == "waiting: quota"


@pytest.mark.parametrize("kind", [RunEventType.DEBUG_TRACE, RunEventType.TOKENS_USED, RunEventType.TOOL_USED])
def test_details_are_left_to_observers_of_the_run(kind: RunEventType) -> None:
    assert progress_of(event(kind)) is None
