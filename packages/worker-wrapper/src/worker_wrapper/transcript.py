"""What agents printed, for people who look into a run: one bounded, redacted file beside the checkout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

LIMIT_BYTES = 5_000_000
LINE_LIMIT_CHARS = 20_000


class Transcript:
    """Appends lines; when the file is full, the older half makes room."""

    def __init__(self, path: Path, redact: Callable[[str], str], limit_bytes: int = LIMIT_BYTES) -> None:
        self._path = path
        self._redact = redact
        self._limit_bytes = limit_bytes
        self._is_broken = False

    def add(self, line: str) -> None:
        """Append one line. A full disk must not cost the agent's work, so it silences the transcript only."""
        if self._is_broken:
            return
        data = (self._redact(line)[:LINE_LIMIT_CHARS] + "\n").encode(errors="replace")
        try:
            if self._path.exists() and self._path.stat().st_size + len(data) > self._limit_bytes:
                self._make_room()
            with self._path.open("ab") as handle:
                handle.write(data)
        except OSError:
            self._is_broken = True

    def _make_room(self) -> None:
        kept = self._path.read_bytes()[-self._limit_bytes // 2 :].partition(b"\n")[2]
        self._path.write_bytes(kept)
