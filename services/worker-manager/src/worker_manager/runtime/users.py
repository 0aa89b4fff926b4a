"""User ids for process workers: one per worker, never shared by two that exist at the same time."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

from worker_manager.errors import RuntimeFailed
from worker_manager.runtime import processes
from worker_manager.runtime.directory import list_directories
from worker_manager.runtime.shim import write_atomically

UID_RANGE = 10_000
UID_BLOCKS = 10_000


class UserAllocator:
    """Blocking; one caller at a time. The last id is kept on disk, so ids are reused as late as possible."""

    def __init__(self, root: Path, uid_start: int) -> None:
        self._root = root
        # Two managers on one machine keep apart: each uses a block of ids that its folder names.
        block = zlib.crc32(str(root.resolve()).encode()) % UID_BLOCKS
        self._uid_start = uid_start + block * UID_RANGE
        self._counter = root / ".next_uid"

    def allocate(self) -> int:
        """Return an id that no worker directory and no process has; RuntimeFailed when all are taken."""
        specs = [directory.spec() for directory in list_directories(self._root)]
        taken = {spec.uid for spec in specs if spec is not None}
        first = self._next()
        for step in range(UID_RANGE):
            offset = (first + step) % UID_RANGE
            uid = self._uid_start + offset
            if uid not in taken and not processes.living(processes.runs_as(uid)):
                write_atomically(str(self._counter), offset + 1)
                return uid
        raise RuntimeFailed("every user id for workers is taken")

    def _next(self) -> int:
        try:
            return int(json.loads(self._counter.read_text(encoding="ascii")))
        except (FileNotFoundError, ValueError, TypeError):
            return 0
