"""Finds the agent's `<result>` block in free text, in time linear in the text."""

from __future__ import annotations

import json

from pydantic import JsonValue

from worker_wrapper.errors import ResultParseError

OPENING = "<result>"
CLOSING = "</result>"
_WHITESPACE = " \t\r\n"
_DECODER = json.JSONDecoder()


class ResultParser:
    """Reads the first complete `<result>…</result>` block as a JSON object."""

    @staticmethod
    def parse(text: str) -> dict[str, JsonValue] | None:
        """Return the object; None when there is no complete block; ResultParseError when it is not a JSON object."""
        first = text.find(OPENING)
        closing = text.find(CLOSING, first) if first >= 0 else -1
        if closing < 0:
            return None
        try:
            return _object_at(text, first)
        except ResultParseError:
            # Prose may mention the opening tag before the real block begins.
            last = text.rfind(OPENING, first, closing)
            if last == first:
                raise
            return _object_at(text, last)


def _object_at(text: str, opening: int) -> dict[str, JsonValue]:
    """Decode the value after an opening tag: JSON strings may hold a closing tag of their own."""
    begin = _skip_fence(text, _skip_space(text, opening + len(OPENING)))
    try:
        value, end = _DECODER.raw_decode(text, begin)
    except (ValueError, RecursionError) as error:
        raise ResultParseError(f"the <result> block is not JSON: {error}") from None
    end = _skip_space(text, end)
    if text.startswith("```", end):
        end = _skip_space(text, end + 3)
    if not text.startswith(CLOSING, end):
        raise ResultParseError("the <result> block holds more than one JSON object")
    if not isinstance(value, dict):
        raise ResultParseError(f"the <result> block holds {type(value).__name__}, not a JSON object")
    return value


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in _WHITESPACE:
        position += 1
    return position


def _skip_fence(text: str, position: int) -> int:
    """Return the place after a Markdown code fence's first line, when there is one."""
    if not text.startswith("```", position):
        return position
    line_end = text.find("\n", position)
    return len(text) if line_end < 0 else _skip_space(text, line_end)
