"""The logs of the services a test works with; a failing test's report shows their last lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

TAIL_BYTES = 4000
TAIL_LINES = 25
_followed: dict[str, Callable[[], str]] = {}


@contextmanager
def shown_on_failure(name: str, read: Callable[[], str]) -> Iterator[None]:
    """Show what `read` returns with every failure while the block runs."""
    key = name if name not in _followed else f"{name} ({len(_followed)})"
    _followed[key] = read
    try:
        yield
    finally:
        del _followed[key]


def followed_logs() -> list[tuple[str, str]]:
    """Return (name, last lines) of every log followed now."""
    return [(name, "\n".join(read().splitlines()[-TAIL_LINES:])) for name, read in _followed.items()]


def tail_of(path: Path) -> str:
    """Return the end of a file; empty when there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return log.read().decode(errors="replace")
