"""The state machines of runs, as data: what may follow what. Nothing here performs a transition."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from shared.contracts.vocabulary import TaskType


class RunState(StrEnum):
    QUEUED = "QUEUED"
    PLANNING = "PLANNING"
    CODING = "CODING"
    REVIEWING = "REVIEWING"
    PR_OPEN = "PR_OPEN"
    ANALYZING = "ANALYZING"
    RESOLVING_SECRETS = "RESOLVING_SECRETS"
    DEPLOYING = "DEPLOYING"
    VERIFYING = "VERIFYING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    ROLLED_BACK = "ROLLED_BACK"


class RunEventName(StrEnum):
    START_PLANNING = "START_PLANNING"
    PLAN_SUCCEEDED = "PLAN_SUCCEEDED"
    PLAN_FAILED = "PLAN_FAILED"
    START_CODING = "START_CODING"
    CODE_SUCCEEDED = "CODE_SUCCEEDED"
    CODE_FAILED = "CODE_FAILED"
    START_REVIEWING = "START_REVIEWING"
    REVIEW_APPROVED = "REVIEW_APPROVED"
    REVIEW_FAILED = "REVIEW_FAILED"
    REVIEW_REJECTED = "REVIEW_REJECTED"
    PR_OPENED = "PR_OPENED"
    CI_FAILED = "CI_FAILED"
    PR_FAILED = "PR_FAILED"
    MARK_COMPLETED = "MARK_COMPLETED"
    RUN_FAILED = "RUN_FAILED"
    MARK_CANCELLED = "MARK_CANCELLED"
    START_ANALYSIS = "START_ANALYSIS"
    ENV_ANALYZED = "ENV_ANALYZED"
    SECRETS_RESOLVED = "SECRETS_RESOLVED"
    WORKFLOW_SUCCEEDED = "WORKFLOW_SUCCEEDED"
    WORKFLOW_FAILED = "WORKFLOW_FAILED"
    SMOKE_PASSED = "SMOKE_PASSED"
    SMOKE_FAILED = "SMOKE_FAILED"
    ROLLED_BACK = "ROLLED_BACK"


TERMINAL_STATES = frozenset({RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED, RunState.ROLLED_BACK})

_S, _E = RunState, RunEventName
_ENGINEERING: dict[tuple[RunState, RunEventName], RunState] = {
    (_S.QUEUED, _E.START_PLANNING): _S.PLANNING,
    (_S.PLANNING, _E.PLAN_SUCCEEDED): _S.CODING,
    (_S.PLANNING, _E.PLAN_FAILED): _S.FAILED,
    (_S.CODING, _E.START_CODING): _S.CODING,
    (_S.CODING, _E.CODE_SUCCEEDED): _S.REVIEWING,
    (_S.CODING, _E.CODE_FAILED): _S.FAILED,
    (_S.REVIEWING, _E.START_REVIEWING): _S.REVIEWING,
    (_S.REVIEWING, _E.REVIEW_APPROVED): _S.PR_OPEN,
    (_S.REVIEWING, _E.REVIEW_FAILED): _S.FAILED,
    (_S.REVIEWING, _E.REVIEW_REJECTED): _S.CODING,
    (_S.PR_OPEN, _E.PR_OPENED): _S.PR_OPEN,
    (_S.PR_OPEN, _E.CI_FAILED): _S.CODING,
    (_S.PR_OPEN, _E.PR_FAILED): _S.FAILED,
    (_S.PR_OPEN, _E.MARK_COMPLETED): _S.COMPLETED,
}
_DEPLOY: dict[tuple[RunState, RunEventName], RunState] = {
    (_S.QUEUED, _E.START_ANALYSIS): _S.ANALYZING,
    (_S.ANALYZING, _E.ENV_ANALYZED): _S.RESOLVING_SECRETS,
    (_S.RESOLVING_SECRETS, _E.SECRETS_RESOLVED): _S.DEPLOYING,
    (_S.DEPLOYING, _E.WORKFLOW_SUCCEEDED): _S.VERIFYING,
    (_S.DEPLOYING, _E.WORKFLOW_FAILED): _S.FAILED,
    (_S.VERIFYING, _E.SMOKE_PASSED): _S.COMPLETED,
    (_S.VERIFYING, _E.SMOKE_FAILED): _S.FAILED,
    (_S.VERIFYING, _E.ROLLED_BACK): _S.ROLLED_BACK,
}


def _closed(table: dict[tuple[RunState, RunEventName], RunState]) -> Mapping[tuple[RunState, RunEventName], RunState]:
    """Add the two events every live state accepts."""
    full = dict(table)
    for state in {state for pair in table.items() for state in (pair[0][0], pair[1])} - TERMINAL_STATES:
        full[(state, _E.RUN_FAILED)] = _S.FAILED
        full[(state, _E.MARK_CANCELLED)] = _S.CANCELLED
    return MappingProxyType(full)


TRANSITIONS: Mapping[TaskType, Mapping[tuple[RunState, RunEventName], RunState]] = MappingProxyType(
    {TaskType.ENGINEERING: _closed(_ENGINEERING), TaskType.DEPLOY: _closed(_DEPLOY)}
)

VALID_TRANSITIONS: Mapping[TaskType, Mapping[RunState, frozenset[RunState]]] = MappingProxyType(
    {
        kind: MappingProxyType(
            {
                state: frozenset(after for (before, _), after in table.items() if before is state)
                for state in {state for pair in table.items() for state in (pair[0][0], pair[1])}
            }
        )
        for kind, table in TRANSITIONS.items()
    }
)


class JobStateError(Exception):
    """This event is not allowed in this state."""

    code = "invalid_transition"

    def __init__(self, state: RunState, event: RunEventName) -> None:
        super().__init__(f"event {event} is not allowed in state {state}")
        self.state = state
        self.event = event


def is_valid_transition(before: RunState, after: RunState, kind: TaskType = TaskType.ENGINEERING) -> bool:
    """Tell whether any event leads from one state to the other."""
    return after in VALID_TRANSITIONS[kind].get(before, frozenset())


def get_next_state(state: RunState, event: RunEventName, kind: TaskType = TaskType.ENGINEERING) -> RunState:
    """Return the state an event leads to; JobStateError when the table has no such row."""
    try:
        return TRANSITIONS[kind][(state, event)]
    except KeyError:
        raise JobStateError(state, event) from None
