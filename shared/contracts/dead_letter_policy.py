"""What may be asked for a dead letter in which state: data, used by the api and by the in-memory one."""

from __future__ import annotations

from shared.contracts.vocabulary import DeadLetterAction, DeadLetterState

REQUESTED = {
    DeadLetterAction.REPLAY: DeadLetterState.REPLAY_REQUESTED,
    DeadLetterAction.DISCARD: DeadLetterState.DISCARD_REQUESTED,
}
_SETTLED = {
    DeadLetterAction.REPLAY: frozenset({DeadLetterState.REPLAY_REQUESTED, DeadLetterState.REPLAYED}),
    DeadLetterAction.DISCARD: frozenset({DeadLetterState.DISCARD_REQUESTED, DeadLetterState.DISCARDED}),
}
_ASKABLE = frozenset({DeadLetterState.OPEN, DeadLetterState.REPLAY_FAILED})
REFUSAL_CODE = "dead_letter_settled"


def is_settled(state: DeadLetterState, action: DeadLetterAction) -> bool:
    """Tell whether the action was asked for already: a repeat changes nothing."""
    return state in _SETTLED[action]


def may_request(state: DeadLetterState, action: DeadLetterAction) -> bool:
    """Tell whether the action may be asked for now or was already; otherwise the other one came first."""
    return state in _ASKABLE or is_settled(state, action)
