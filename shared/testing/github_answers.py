"""Whole answers of GitHub, cut from its published examples; a test checks that each fits the published description."""

from __future__ import annotations

import functools
from pathlib import Path

from pydantic import JsonValue, TypeAdapter

_FILE = Path(__file__).with_suffix(".json")
_ANSWERS: TypeAdapter[dict[str, dict[str, JsonValue]]] = TypeAdapter(dict[str, dict[str, JsonValue]])


def answer(name: str, /, **changed: JsonValue) -> dict[str, JsonValue]:
    """Return an answer by name (see the JSON file beside this one), with some of its fields changed."""
    return {**{field: _filled(value) for field, value in _stored()[name].items()}, **changed}


@functools.cache
def _stored() -> dict[str, dict[str, JsonValue]]:
    return _ANSWERS.validate_json(_FILE.read_bytes())


def _filled(value: JsonValue) -> JsonValue:
    """Put answers where the file says `{"is": name}`."""
    if isinstance(value, list):
        return [_filled(entry) for entry in value]
    if isinstance(value, dict):
        other = value.get("is")
        return answer(other) if isinstance(other, str) else {name: _filled(entry) for name, entry in value.items()}
    return value


def answer_names() -> frozenset[str]:
    """Return the names answer() knows."""
    return frozenset(_stored())
