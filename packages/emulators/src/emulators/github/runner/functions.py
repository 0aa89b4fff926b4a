"""The functions of the expression language that need nothing but their arguments, and hashFiles for a workspace."""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from emulators.github.errors import ExpressionError
from emulators.github.runner.expressions import Function
from emulators.github.runner.values import Value, equal, to_text


def _contains(arguments: Sequence[Value]) -> Value:
    search, item = _exactly("contains", arguments, 2)
    if isinstance(search, list):
        return any(equal(element, item) for element in search)
    return to_text(item).lower() in to_text(search).lower()


def _starts_with(arguments: Sequence[Value]) -> Value:
    text, start = _exactly("startsWith", arguments, 2)
    return to_text(text).lower().startswith(to_text(start).lower())


def _ends_with(arguments: Sequence[Value]) -> Value:
    text, end = _exactly("endsWith", arguments, 2)
    return to_text(text).lower().endswith(to_text(end).lower())


def _format(arguments: Sequence[Value]) -> Value:
    if not arguments:
        raise ExpressionError("format needs at least one argument")
    values = [to_text(value) for value in arguments[1:]]

    def replace(match: re.Match[str]) -> str:
        token = match.group()
        if token in ("{{", "}}"):
            return token[0]
        number = int(token[1:-1])
        if number >= len(values):
            raise ExpressionError(f"format has no argument {number}")
        return values[number]

    return re.sub(r"\{\{|\}\}|\{\d+\}", replace, to_text(arguments[0]))


def _join(arguments: Sequence[Value]) -> Value:
    if not 1 <= len(arguments) <= 2:
        raise ExpressionError("join takes 1 or 2 arguments")
    separator = to_text(arguments[1]) if len(arguments) == 2 else ","
    items = arguments[0] if isinstance(arguments[0], list) else [arguments[0]]
    return separator.join(to_text(item) for item in items)


def _to_json(arguments: Sequence[Value]) -> Value:
    (value,) = _exactly("toJSON", arguments, 1)
    return json.dumps(_plain(value), indent=2, ensure_ascii=False)


def _from_json(arguments: Sequence[Value]) -> Value:
    (text,) = _exactly("fromJSON", arguments, 1)
    try:
        value: Value = json.loads(to_text(text), parse_int=float)
    except ValueError as error:
        raise ExpressionError(f"fromJSON was given text that is not JSON: {error}") from error
    return value


FUNCTIONS: Mapping[str, Function] = {
    "contains": _contains,
    "startswith": _starts_with,
    "endswith": _ends_with,
    "format": _format,
    "join": _join,
    "tojson": _to_json,
    "fromjson": _from_json,
}


def hash_files(workspace: Path) -> Function:
    """Return hashFiles for a workspace: a hash over the hashes of the matching files, '' when none matches."""

    def function(arguments: Sequence[Value]) -> Value:
        found: set[Path] = set()
        for pattern in arguments:
            found.update(path for path in workspace.glob(to_text(pattern)) if path.is_file() and not path.is_symlink())
        if not found:
            return ""
        total = hashlib.sha256()
        for path in sorted(found):
            total.update(hashlib.sha256(path.read_bytes()).digest())
        return total.hexdigest()

    return function


def _exactly(name: str, arguments: Sequence[Value], count: int) -> Sequence[Value]:
    if len(arguments) != count:
        raise ExpressionError(f"{name} takes {count} argument(s), got {len(arguments)}")
    return arguments


def _plain(value: Value) -> Value:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return int(value)
    return value
