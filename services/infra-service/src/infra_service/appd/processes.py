"""Processes of applications: started as their own user, found again by a mark in their environment, ended whole."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

MARK = "APPD_APP"
_PROC = Path("/proc")


@dataclass(frozen=True)
class Launch:
    """How to start something for an application; uid None means as this process."""

    arguments: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    uid: int | None
    output: Path


def spawn(launch: Launch) -> subprocess.Popen[bytes]:
    """Start a process as leader of its own group; its output is appended to a file."""
    descriptor = os.open(launch.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            list(launch.arguments),
            cwd=launch.directory,
            env=dict(launch.environment),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            umask=0o077,
            user=launch.uid,
            group=launch.uid,
            extra_groups=None if launch.uid is None else [],
        )
    finally:
        os.close(descriptor)


def run(launch: Launch, seconds: float) -> int | None:
    """Run to the end and return the exit code; None when the time was up and it was killed."""
    process = spawn(launch)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        kill_group(process.pid, signal.SIGKILL)
        process.wait()


def kill_group(pid: int, number: signal.Signals) -> None:
    """Signal what is left of a group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def sweep(mark: str) -> int:
    """Kill every process of an application, or, with a mark that ends in a slash, of every application of a root."""
    return kill_carrying(f"{MARK}={mark}", is_prefix=mark.endswith("/"))


def kill_carrying(variable: str, *, is_prefix: bool = False) -> int:
    """Kill every process started with NAME=value in its environment, wherever it moved itself to.

    Returns how many there were at once. A prefix stands for every value that begins so.
    """
    wanted = variable.encode() + (b"" if is_prefix else b"\0")
    found = 0
    while victims := list(_carrying(wanted)):
        found = max(found, len(victims))
        for pid in victims:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    return found


def _carrying(wanted: bytes) -> Iterator[int]:
    for entry in _PROC.iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            # A zombie's environment is empty: it is its parent's to reap, not ours to kill.
            environment = (entry / "environ").read_bytes()
            if environment.startswith(wanted) or b"\0" + wanted in environment:
                yield int(entry.name)


def tail(path: Path, lines: int) -> str:
    """Return the last lines of a log, at most its last 256 KiB; nothing when there is none."""
    try:
        with path.open("rb") as log:
            _skip_to_end(log, 256 * 1024)
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def bound(path: Path, limit: int) -> None:
    """Keep the newer half of a log that grew beyond the limit; writers append, so they go on at its new end."""
    try:
        if path.stat().st_size <= limit:
            return
        with path.open("r+b") as log:
            _skip_to_end(log, limit // 2)
            kept = log.read()
            log.truncate(0)
        with path.open("ab") as log:
            log.write(kept)
    except FileNotFoundError:
        return


def _skip_to_end(log: IO[bytes], size: int) -> None:
    log.seek(0, os.SEEK_END)
    log.seek(max(0, log.tell() - size))
