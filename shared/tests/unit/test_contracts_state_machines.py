"""The state machines of runs, row by row."""

from __future__ import annotations

from typing import Any

import pytest

from shared.contracts.run_machine import (
    TERMINAL_STATES,
    TRANSITIONS,
    VALID_TRANSITIONS,
    JobStateError,
    RunEventName,
    RunState,
    get_next_state,
    is_valid_transition,
)
from shared.contracts.vocabulary import TaskType

ENGINEERING = """
QUEUED START_PLANNING PLANNING
PLANNING PLAN_SUCCEEDED CODING
PLANNING PLAN_FAILED FAILED
CODING START_CODING CODING
CODING CODE_SUCCEEDED REVIEWING
CODING CODE_FAILED FAILED
REVIEWING START_REVIEWING REVIEWING
REVIEWING REVIEW_APPROVED PR_OPEN
REVIEWING REVIEW_FAILED FAILED
REVIEWING REVIEW_REJECTED CODING
PR_OPEN PR_OPENED PR_OPEN
PR_OPEN CI_FAILED CODING
PR_OPEN PR_FAILED FAILED
PR_OPEN MARK_COMPLETED COMPLETED
"""
DEPLOY = """
QUEUED START_ANALYSIS ANALYZING
ANALYZING ENV_ANALYZED RESOLVING_SECRETS
RESOLVING_SECRETS SECRETS_RESOLVED DEPLOYING
DEPLOYING WORKFLOW_SUCCEEDED VERIFYING
DEPLOYING WORKFLOW_FAILED FAILED
VERIFYING SMOKE_PASSED COMPLETED
VERIFYING SMOKE_FAILED FAILED
VERIFYING ROLLED_BACK ROLLED_BACK
"""
LIVE = {
    TaskType.ENGINEERING: "QUEUED PLANNING CODING REVIEWING PR_OPEN",
    TaskType.DEPLOY: "QUEUED ANALYZING RESOLVING_SECRETS DEPLOYING VERIFYING",
}
Row = tuple[TaskType, RunState, RunEventName, RunState]


def rows() -> list[Row]:
    found: list[Row] = []
    for kind, table in ((TaskType.ENGINEERING, ENGINEERING), (TaskType.DEPLOY, DEPLOY)):
        for line in table.strip().splitlines():
            before, event, after = line.split()
            found.append((kind, RunState[before], RunEventName[event], RunState[after]))
        for state in LIVE[kind].split():
            found.append((kind, RunState[state], RunEventName.RUN_FAILED, RunState.FAILED))
            found.append((kind, RunState[state], RunEventName.MARK_CANCELLED, RunState.CANCELLED))
    return found


ROWS = rows()


@pytest.mark.parametrize(("kind", "state", "event", "after"), ROWS)
def test_a_row_leads_where_it_says(kind: TaskType, state: RunState, event: RunEventName, after: RunState) -> None:
    assert get_next_state(state, event, kind) is after
    assert is_valid_transition(state, after, kind)


def test_there_is_no_other_row() -> None:
    for kind in TaskType:
        written = {(state, event): after for of, state, event, after in ROWS if of is kind}
        assert dict(TRANSITIONS[kind]) == written


@pytest.mark.parametrize("kind", list(TaskType))
def test_every_other_pair_is_refused_with_its_state_and_event(kind: TaskType) -> None:
    allowed = {(state, event) for of, state, event, _ in ROWS if of is kind}
    for state in RunState:
        for event in RunEventName:
            if (state, event) in allowed:
                continue
            with pytest.raises(JobStateError) as refused:
                get_next_state(state, event, kind)
            assert (refused.value.state, refused.value.event) == (state, event)


@pytest.mark.parametrize("kind", list(TaskType))
def test_nothing_leaves_a_final_state(kind: TaskType) -> None:
    assert not [state for state, _ in TRANSITIONS[kind] if state in TERMINAL_STATES]
    for state in TERMINAL_STATES:
        assert not VALID_TRANSITIONS[kind].get(state)


@pytest.mark.parametrize("kind", list(TaskType))
def test_every_live_state_can_reach_a_final_one_and_be_reached(kind: TaskType) -> None:
    reached, frontier = {RunState.QUEUED}, [RunState.QUEUED]
    while frontier:
        for after in VALID_TRANSITIONS[kind].get(frontier.pop(), frozenset()) - reached:
            reached.add(after)
            frontier.append(after)
    assert {RunState[name] for name in LIVE[kind].split()} <= reached
    assert {RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED} <= reached


def test_tables_cannot_be_changed() -> None:
    table: Any = TRANSITIONS[TaskType.DEPLOY]
    with pytest.raises(TypeError):
        table[(RunState.FAILED, RunEventName.SMOKE_PASSED)] = RunState.COMPLETED
