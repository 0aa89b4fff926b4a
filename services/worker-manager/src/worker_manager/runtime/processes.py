"""Processes by identity, not by pid alone: who is alive, which belong to a worker, and ending all of those."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worker_manager.errors import LeftoverProcesses
from worker_manager.runtime.shim import boot_id

Match = Callable[[int], bool]

_PROC = Path("/proc")
_DEAD_STATES = frozenset("ZXx")
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A pid is reused; together with its start and the boot it names one process for ever."""

    pid: int
    start_ticks: int
    boot_id: str

    def is_alive(self) -> bool:
        stat = _stat(self.pid)
        if stat is None or boot_id() != self.boot_id:
            return False
        return stat[0] not in _DEAD_STATES and int(stat[19]) == self.start_ticks


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on; None when there is no such process."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def runs_as(uid: int) -> Match:
    """Match processes that have the uid in any of its roles."""

    def match(pid: int) -> bool:
        with contextlib.suppress(OSError):
            for line in (_PROC / str(pid) / "status").read_text(errors="replace").splitlines():
                if line.startswith("Uid:"):
                    return str(uid) in line.split()[1:]
        return False

    return match


def is_marked(worker_id: str) -> Match:
    """Match processes whose environment names the worker: all there is when workers share our user."""
    mark = f"WORKER_ID={worker_id}".encode()

    def match(pid: int) -> bool:
        with contextlib.suppress(OSError):
            return mark in (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
        return False

    return match


def living(match: Match) -> list[int]:
    """Return the pids that match and are no zombies, never our own."""
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        stat = _stat(int(entry.name))
        if stat is not None and stat[0] not in _DEAD_STATES and match(int(entry.name)):
            found.append(int(entry.name))
    return found


def signal_all(match: Match, number: signal.Signals) -> int:
    """Send a signal to every process that matches; return how many there were."""
    pids = living(match)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            descriptor = os.pidfd_open(pid)
            try:
                # The descriptor pins the process: the pid cannot have passed to another between look and signal.
                if match(pid):
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)
    return len(pids)


def kill_all(match: Match, *, deadline_seconds: float = 5.0) -> None:
    """Kill what matches until nothing does; LeftoverProcesses after the deadline. Blocks: call it in a thread."""
    deadline = time.monotonic() + deadline_seconds
    while signal_all(match, signal.SIGKILL):
        if time.monotonic() > deadline:
            raise LeftoverProcesses(f"still alive after SIGKILL: {living(match)}")
        time.sleep(_POLL_SECONDS)
