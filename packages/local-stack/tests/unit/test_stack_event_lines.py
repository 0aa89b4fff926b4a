"""One line per run event, for people who read a timeline."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from local_stack.demo.facts import describe
from shared.contracts.dto.work import RunEventDTO
from shared.contracts.queues.events import RunEventPayload
from shared.contracts.run_machine import RunState
from shared.contracts.vocabulary import RunEventType


def _event(kind: RunEventType, payload: RunEventPayload) -> RunEventDTO:
    return RunEventDTO(run_id="r", seq=1, type=kind, ts=datetime(2026, 1, 1, tzinfo=UTC), payload=payload)


@pytest.mark.parametrize(
    ("kind", "payload", "line"),
    [
        (
            RunEventType.STATE_CHANGED,
            RunEventPayload(previous_state=RunState.QUEUED, state=RunState.PLANNING),
            "QUEUED → PLANNING",
        ),
        (RunEventType.NODE_STARTED, RunEventPayload(node="merge"), "NodeStarted merge"),
        (
            RunEventType.TOKENS_USED,
            RunEventPayload(stage="plan", input_tokens=12, output_tokens=3),
            "plan: 12 in, 3 out",
        ),
        (RunEventType.ARTIFACT, RunEventPayload(message="merged", url="http://pr/1"), "merged http://pr/1"),
        (RunEventType.ARTIFACT, RunEventPayload(sha="abc"), "artifact abc"),
        (RunEventType.WAITING, RunEventPayload(reason="quota"), "Waiting quota"),
        (RunEventType.RUN_STARTED, RunEventPayload(), "RunStarted"),
    ],
)
def test_every_kind_of_event_has_a_line(kind: RunEventType, payload: RunEventPayload, line: str) -> None:
    assert describe(_event(kind, payload)) == line
