"""Unwraps what agent programs print around their answer: Claude's JSON and stream-json, Droid's JSON, plain text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import JsonValue

from shared.contracts.stages import Usage

JsonObject = dict[str, JsonValue]
MOST = 1e15
_LIMIT_RESET = re.compile(r"limit reached\|(\d{10})\b")


@dataclass(frozen=True, slots=True)
class AgentReport:
    """An agent's own account of one turn. `api_error_status` is the model provider's HTTP status, when it refused."""

    text: str
    usage: Usage = field(default_factory=Usage)
    session_id: str | None = None
    is_error: bool = False
    api_error_status: int | None = None
    retry_at: str | None = None


class Unwrapper:
    """Listens to an agent's lines and knows its final event when it comes."""

    def __init__(self) -> None:
        self._final: JsonObject | None = None
        self._resets_at: str | None = None

    @property
    def is_done(self) -> bool:
        return self._final is not None

    def feed(self, line: str) -> None:
        """Take one line; anything but a JSON event is left alone."""
        event = _json_object(line) if line.startswith("{") else None
        if event is None:
            return
        if event.get("type") == "result":
            self._final = event
        elif event.get("type") == "rate_limit_event":
            info = event.get("rate_limit_info")
            if isinstance(info, dict):
                self._resets_at = _iso(info.get("resetsAt")) or self._resets_at

    def report(self, stdout: str) -> AgentReport | None:
        """Return what the agent reported, from its final event or from one JSON document; None when there is none."""
        final = self._final or _final_of_document(stdout)
        if final is None:
            return None
        text = _text(final)
        status = final.get("api_error_status")
        session = final.get("session_id")
        reset = _LIMIT_RESET.search(text)
        return AgentReport(
            text=text,
            usage=_usage(final),
            session_id=session if isinstance(session, str) and session else None,
            is_error=final.get("is_error") is True,
            api_error_status=status if isinstance(status, int) else None,
            retry_at=_iso(int(reset.group(1))) if reset else self._resets_at,
        )


class PlainText(Unwrapper):
    """For commands that may print an envelope but need not: any text is an answer."""

    @property
    def is_done(self) -> bool:
        return False

    def report(self, stdout: str) -> AgentReport | None:
        return super().report(stdout) or (AgentReport(text=stdout) if stdout.strip() else None)


def _json_object(text: str) -> JsonObject | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _final_of_document(stdout: str) -> JsonObject | None:
    """Return the result event of a whole-output JSON document: an object, or a list of events."""
    try:
        value = json.loads(stdout)
    except (ValueError, RecursionError):
        return None
    events = value if isinstance(value, list) else [value]
    return next((e for e in reversed(events) if isinstance(e, dict) and e.get("type") == "result"), None)


def _text(final: JsonObject) -> str:
    result = final.get("result")
    if isinstance(result, str):
        return result
    errors = final.get("errors")
    return "\n".join(str(error) for error in errors) if isinstance(errors, list) else ""


def _usage(final: JsonObject) -> Usage:
    """Return the turn's total: per model when the agent counts so (sub-agents included), else its single usage."""
    turns = _count(final.get("num_turns"))
    by_model = final.get("modelUsage")
    if isinstance(by_model, dict) and by_model:
        models = [entry for entry in by_model.values() if isinstance(entry, dict)]
        return Usage(
            input_tokens=sum(_count(m.get("inputTokens")) for m in models),
            output_tokens=sum(_count(m.get("outputTokens")) for m in models),
            cache_read_tokens=sum(_count(m.get("cacheReadInputTokens")) for m in models),
            cache_write_tokens=sum(_count(m.get("cacheCreationInputTokens")) for m in models),
            cost_usd=sum(_money(m.get("costUSD")) for m in models),
            turns=turns,
        )
    usage = final.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    return Usage(
        input_tokens=_count(counts.get("input_tokens")),
        output_tokens=_count(counts.get("output_tokens")),
        cache_read_tokens=_count(counts.get("cache_read_input_tokens")),
        cache_write_tokens=_count(counts.get("cache_creation_input_tokens")),
        cost_usd=_money(final.get("total_cost_usd")),
        turns=turns,
    )


def _count(value: JsonValue) -> int:
    return int(_money(value))


def _money(value: JsonValue) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value < MOST else 0.0


def _iso(epoch: JsonValue) -> str | None:
    """Return an epoch time as ISO text; None when it is no sensible time."""
    if not isinstance(epoch, int | float) or not 0 < epoch < 10**11:
        return None
    return datetime.fromtimestamp(epoch, UTC).isoformat()
