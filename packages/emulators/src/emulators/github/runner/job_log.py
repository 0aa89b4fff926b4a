"""The log of one job: every line dated and masked before it touches the disk."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 16 * 2**20
SHORTEST_LINE_OF_SECRET = 3


class JobLog:
    """Writes one log file; refuses to grow past 16 MiB."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb")
        self._masks: list[str] = []
        self._written = 0

    def mask(self, values: Iterable[str]) -> None:
        """Replace these values by *** from now on, also as JSON escapes them and, of long texts, line by line."""
        for value in values:
            lines = [line.strip() for line in value.splitlines() if len(line.strip()) >= SHORTEST_LINE_OF_SECRET]
            escaped = json.dumps(value)[1:-1]
            for text in {value, value.strip(), escaped, *(lines if "\n" in value else [])}:
                if text and text not in self._masks:
                    self._masks.append(text)
        self._masks.sort(key=len, reverse=True)

    def masked(self, text: str) -> str:
        """Return the text as the log may show it."""
        for value in self._masks:
            text = text.replace(value, "***")
        return text

    def write(self, text: str) -> None:
        """Add the text, line by line."""
        if self._written > MAX_BYTES:
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
        data = "".join(f"{now} {line}\n" for line in self.masked(text).split("\n")).encode()
        self._written += len(data)
        self._file.write(data)
        if self._written > MAX_BYTES:
            self._file.write(
                f"{now} ##[warning]This log is longer than {MAX_BYTES} bytes; the rest is left out.\n".encode()
            )
        self._file.flush()

    def error(self, text: str) -> None:
        """Add an error line as GitHub marks it."""
        self.write("\n".join(f"##[error]{line}" for line in text.splitlines() or [""]))

    def close(self) -> None:
        """Close the file."""
        self._file.close()
