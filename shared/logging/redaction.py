"""Removes secrets from text: values registered at start and the shapes secrets are known to have."""

from __future__ import annotations

import json
import re
from typing import Any

MASK = "[redacted]"
MIN_SECRET_LENGTH = 6

_SHAPES = re.compile(
    "|".join(
        (
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
            r"\bgh[opsur]_[A-Za-z0-9]{16,}",
            r"\bgithub_pat_[A-Za-z0-9_]{20,}",
            r"\bsk-ant-[A-Za-z0-9_-]{8,}",
            r"(?<![A-Za-z0-9])(?:bot)?\d{6,12}:[A-Za-z0-9_-]{30,}",
            r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]*",
            r"(?P<bearer>\b[Bb]earer\s+)[A-Za-z0-9._~+/=-]{8,}",
            r"(?P<dsn>\b[a-z][a-z0-9+.-]*://[^\s:/@\"']*:)[^\s/@\"']+(?=@)",
        )
    ),
    re.DOTALL,
)
_SECRET_NAME = re.compile(
    r"token$|secret|password|passwd|credential|authorization|api_?key|private_?key|access_?key|cookie", re.IGNORECASE
)
_SECRET_HOLDER = re.compile(r"env_?vars$|^env$|^environment$|secrets$|credentials$", re.IGNORECASE)


def _mask(match: re.Match[str]) -> str:
    kept = match.group("bearer") or match.group("dsn") or ""
    return f"{kept}{MASK}"


class Redactor:
    """Holds the known values of one process."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._known: re.Pattern[str] | None = None

    def register(self, value: str) -> None:
        """Add a value that never appears in output; shorter ones than six characters are not secrets."""
        if len(value) < MIN_SECRET_LENGTH:
            return
        self._values.update((value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]))
        longest_first = sorted(self._values, key=len, reverse=True)
        self._known = re.compile("|".join(re.escape(item) for item in longest_first))

    def redact(self, text: str) -> str:
        """Return the text with every known or recognised secret masked."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        return _SHAPES.sub(_mask, text)


_process = Redactor()


def register_secret(value: str) -> None:
    """Make this process mask a value wherever it logs or quotes text."""
    _process.register(value)


def redact(text: str) -> str:
    """Return text that may be shown: registered values and recognised secrets are masked."""
    return _process.redact(text)


def redact_body(text: str) -> str:
    """Return the body of a message that may be shown: in JSON, text under the name of a secret is masked as well.

    The answer is text a database takes: without NUL and lone surrogates.
    """
    try:
        shown = json.dumps(_masked(json.loads(text)), ensure_ascii=False)
    except (ValueError, RecursionError):
        shown = text
    return redact(shown).replace("\x00", "\\x00").encode(errors="backslashreplace").decode()


def _masked(value: Any, is_secret: bool = False) -> Any:
    if isinstance(value, dict):
        return {
            name: _masked(item, is_secret or bool(_SECRET_HOLDER.search(name) or _SECRET_NAME.search(name)))
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_masked(item, is_secret) for item in value]
    return MASK if is_secret and isinstance(value, str) and value else value
