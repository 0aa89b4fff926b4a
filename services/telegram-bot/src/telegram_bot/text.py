"""Cuts texts to what one Telegram message holds: 4096 UTF-16 code units."""

from __future__ import annotations

LIMIT = 4096


def utf16_length(text: str) -> int:
    """Return a text's length in UTF-16 code units, as Telegram counts."""
    return len(text) + sum(1 for character in text if ord(character) > 0xFFFF)


def split(text: str, limit: int = LIMIT) -> list[str]:
    """Cut a text into parts of at most `limit` units, at a line or a word where one is near the end."""
    parts, rest = [], text.strip()
    while utf16_length(rest) > limit:
        end = _fitting(rest, limit)
        for separator in ("\n", " "):
            at = rest.rfind(separator, end // 2, end)
            if at > 0:
                end = at
                break
        parts.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return [*parts, rest] if rest else parts


def _fitting(text: str, limit: int) -> int:
    used = 0
    for index, character in enumerate(text):
        used += 2 if ord(character) > 0xFFFF else 1
        if used > limit:
            return index
    return len(text)


def shorten(text: str, limit: int) -> str:
    """Return a text of at most `limit` characters on one line."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
