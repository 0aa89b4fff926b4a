"""One child process: what to run, how to know it is ready, what became of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

LINE_LENGTH = 300


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A process the supervisor keeps alive.

    ready_url: answers 200 when it can work. requires: a file that must exist before a start makes sense.
    run_as: numeric user and group. stop_signal: how it is asked to end. stop_first: ends before the others.
    """

    name: str
    command: tuple[str, ...]
    env: dict[str, str]
    ready_url: str | None = None
    requires: Path | None = None
    run_as: tuple[int, int] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_order: int = 1
    is_service: bool = True
    port: int | None = None


@dataclass(slots=True)
class Child:
    """The running side of a spec. Times are monotonic seconds."""

    spec: ChildSpec
    log_path: Path
    process: asyncio.subprocess.Process | None = None
    pid: int | None = None
    restarts: int = 0
    quick_deaths: int = 0
    started_at: float = 0.0
    is_ready: bool = False
    last_exit: int | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        """Start the process in a session of its own, its output appended to its log file."""
        with self.log_path.open("ab", buffering=0) as log:
            user, group = self.spec.run_as or (None, None)
            self.process = await asyncio.create_subprocess_exec(
                *self.spec.command,
                env=self.spec.env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=[] if user is not None else None,
            )
        self.pid = self.process.pid
        self.started_at = time.monotonic()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process itself, if it lives."""
        if self.process is not None and self.process.returncode is None:
            os.kill(self.process.pid, number)

    async def stop(self, grace_seconds: float) -> None:
        """Ask the process to end, then end its whole session."""
        if self.process is None:
            return
        self.signal(self.spec.stop_signal)
        try:
            await asyncio.wait_for(self.process.wait(), grace_seconds)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self.process.wait()
        kill_session(self.process.pid)

    def log_tail(self, lines: int = 6) -> str:
        """Return the last lines the process wrote, for a person: a structured line is reduced to what it says."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - 32_768))
            return "\n".join(_readable(line) for line in log.read().decode("utf-8", "replace").splitlines()[-lines:])


def _readable(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return line[:LINE_LENGTH]
    if not isinstance(entry, dict):
        return line[:LINE_LENGTH]
    reason = str(entry.get("exception") or entry.get("error") or "").strip().splitlines()[-1:]
    return ": ".join([str(entry.get("event", "")), *reason])[:LINE_LENGTH]


def kill_session(session_id: int) -> None:
    """End every process of a session whose leader is gone."""
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session_id:
                process.kill()
        except (psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            continue
