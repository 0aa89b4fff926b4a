"""Outputs by request: one that could not be sent yet waits here, and a repeated request finds its answer."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shared.logging import get_logger

MOST_KEPT = 200

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """`body` is the output as JSON."""

    request_id: str
    body: str
    is_sent: bool


class Outbox(Protocol):
    def find(self, request_id: str) -> Kept | None:
        """Return the answer this request already has."""
        ...

    def keep(self, request_id: str, body: str, *, is_sent: bool) -> None:
        """Keep an answer, or note that it was sent."""
        ...

    def unsent(self) -> list[Kept]:
        """Return what still has to be sent, oldest first."""
        ...


class MemoryOutbox:
    """Keeps answers as long as the process lives."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    def find(self, request_id: str) -> Kept | None:
        return self._kept.get(request_id)

    def keep(self, request_id: str, body: str, *, is_sent: bool) -> None:
        self._kept[request_id] = Kept(request_id, body, is_sent)
        for oldest in list(self._kept)[:-MOST_KEPT]:
            del self._kept[oldest]

    def unsent(self) -> list[Kept]:
        return [kept for kept in self._kept.values() if not kept.is_sent]


class DiskOutbox:
    """Keeps answers in files of their own; a full disk costs durability, never the answer itself."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._memory = MemoryOutbox()

    def find(self, request_id: str) -> Kept | None:
        return self._memory.find(request_id) or _read(self._path(request_id))

    def keep(self, request_id: str, body: str, *, is_sent: bool) -> None:
        self._memory.keep(request_id, body, is_sent=is_sent)
        path = self._path(request_id)
        fresh = path.with_suffix(".new")
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                json.dump({"request_id": request_id, "body": body, "is_sent": is_sent}, file)
            fresh.replace(path)
            self._drop_oldest()
        except OSError as error:
            logger.warning("outbox_not_written", error=str(error), request_id=request_id)

    def unsent(self) -> list[Kept]:
        kept = [_read(path) for path in self._oldest_first()]
        return [entry for entry in kept if entry is not None and not entry.is_sent]

    def _path(self, request_id: str) -> Path:
        return self._directory / f"{hashlib.sha256(request_id.encode()).hexdigest()[:32]}.json"

    def _oldest_first(self) -> list[Path]:
        return sorted(self._directory.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)

    def _drop_oldest(self) -> None:
        for path in self._oldest_first()[:-MOST_KEPT]:
            path.unlink(missing_ok=True)


def _read(path: Path) -> Kept | None:
    """Return what a file keeps; None when it is missing or was cut off."""
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        return Kept(entry["request_id"], entry["body"], entry["is_sent"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
