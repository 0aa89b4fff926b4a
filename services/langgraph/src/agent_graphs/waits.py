"""What a paused run waits for, and what wakes it. Both cross a checkpoint, so both dump to primitives."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from agent_graphs.state import Dumped
from shared.contracts.dto.work import RunDTO, RunRelease
from shared.contracts.vocabulary import WaitingReason, WaitKind

# A person may answer these at any time; the others go on only when their time has come.
_WOKEN_BY_HAND = frozenset({WaitingReason.HUMAN, WaitingReason.SECRET})


@dataclass(frozen=True, slots=True)
class Wait:
    """The value of an interrupt. `key` is the request id or sha; at `wake_at` somebody looks at the latest."""

    kind: WaitKind
    key: str
    wake_at: str
    reason: WaitingReason | None = None
    fence: int | None = None

    def dump(self) -> Dumped:
        return {**asdict(self), "kind": self.kind.value, "reason": self.reason.value if self.reason else None}

    @classmethod
    def load(cls, value: Dumped) -> Wait:
        reason = value["reason"]
        return cls(
            kind=WaitKind(value["kind"]),
            key=value["key"],
            wake_at=value["wake_at"],
            reason=WaitingReason(reason) if reason else None,
            fence=value["fence"],
        )

    def accepts(self, answer: Answer) -> bool:
        """Tell whether an answer is to exactly this question, under its fence when the wait has one."""
        return answer.request_id == self.key and self.fence in (None, answer.fence)

    def release(self, run: RunDTO, owner: str) -> RunRelease:
        """Return how the run is handed back while it waits for this."""
        wake_at = datetime.fromisoformat(self.wake_at)
        return RunRelease(
            owner=owner,
            fence=run.fence,
            wait_kind=self.kind,
            wait_key=self.key,
            wake_at=wake_at,
            waiting_reason=self.reason,
            waiting_until=wake_at if self.reason else None,
        )


@dataclass(frozen=True, slots=True)
class Poke:
    """Somebody asks to look at the run: a first or repeated message, or the poller."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A result or response for one request, dumped."""

    request_id: str
    body: Dumped
    fence: int | None = None


Signal = Poke | Answer


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a wait node gets back from its interrupt."""

    kind: Literal["answer", "due", "cancel"]
    body: Dumped | None = None

    def dump(self) -> Dumped:
        return {"kind": self.kind, "body": self.body}

    @classmethod
    def load(cls, value: dict[str, Any]) -> Resumption:
        return cls(kind=value["kind"], body=value["body"])


def resumption(wait: Wait, signal: Signal, run: RunDTO, now: datetime) -> Resumption | None:
    """Decide whether a signal ends a wait; None leaves the run waiting."""
    if run.cancel_requested:
        return Resumption("cancel")
    if isinstance(signal, Answer):
        return Resumption("answer", signal.body) if wait.accepts(signal) else None
    if now >= datetime.fromisoformat(wait.wake_at) or wait.reason in _WOKEN_BY_HAND:
        return Resumption("due")
    return None
