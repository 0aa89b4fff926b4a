"""Runs children in sessions of their own: deadlines, bounded output, and the end of the whole process group."""

from __future__ import annotations

import asyncio
import codecs
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from worker_wrapper.proc_table import has_living_member

STDOUT_LIMIT_CHARS = 8_000_000
STDERR_LIMIT_CHARS = 16_000
LINE_LIMIT_CHARS = 4_000_000
GROUP_POLL_SECONDS = 0.02
CLOSE_SECONDS = 1.0
KILLED_SECONDS = 5.0


class Ending(StrEnum):
    """How a child's run came to its end; FINISHED means its last event was seen and the process only lingered."""

    EXITED = "exited"
    FINISHED = "finished"
    START_DEADLINE = "start_deadline"
    IDLE_DEADLINE = "idle_deadline"
    TOTAL_DEADLINE = "total_deadline"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds. `start`: until the first output, `idle`: between outputs, `total`: for everything."""

    total_seconds: float
    start_seconds: float | None = None
    idle_seconds: float | None = None
    linger_seconds: float = 5.0
    kill_grace_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class ChildSpec:
    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(repr=False)
    stdin: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ChildOutcome:
    """`exit_code` is negative when a signal ended the child (or None when it never ended by itself)."""

    ending: Ending
    exit_code: int | None
    stdout: str = field(repr=False)
    stderr_tail: str
    duration_seconds: float


@dataclass(frozen=True, slots=True)
class Watch:
    """What the caller wants to hear while the child runs. `is_done` is asked after every line."""

    on_line: Callable[[str], None] | None = None
    is_done: Callable[[], bool] | None = None


class _Tail:
    """Keeps the last characters of a text."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[str] = []
        self._size = 0

    def add(self, text: str) -> None:
        self._parts.append(text)
        self._size += len(text)
        if self._size > 2 * self._limit:
            self._parts = [self.text()]
            self._size = len(self._parts[0])

    def text(self) -> str:
        return "".join(self._parts)[-self._limit :]


class _Lines:
    """Cuts a stream of characters into lines; an overlong line is dropped, the next one is heard again."""

    def __init__(self) -> None:
        self._pending: list[str] = []
        self._size = 0

    def feed(self, text: str) -> list[str]:
        *complete, rest = text.split("\n")
        lines = []
        for part in complete:
            if self._size + len(part) <= LINE_LIMIT_CHARS:
                lines.append("".join([*self._pending, part]))
            self._pending, self._size = [], 0
        self._size += len(rest)
        self._pending = [*self._pending, rest] if self._size <= LINE_LIMIT_CHARS else []
        return lines

    def flush(self) -> list[str]:
        rest = "".join(self._pending)
        self._pending, self._size = [], 0
        return [rest] if rest else []


class _Child(asyncio.SubprocessProtocol):
    """What one child says. Independent of pipes that grandchildren keep open: exit and end of output are two facts."""

    def __init__(self, watch: Watch) -> None:
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.done = asyncio.Event()
        self.started_at = time.monotonic()
        self.last_output_at: float | None = None
        self.stdout = _Tail(STDOUT_LIMIT_CHARS)
        self.stderr = _Tail(STDERR_LIMIT_CHARS)
        self._watch = watch
        self._lines = _Lines()
        self._open_pipes = {1, 2}
        self._decoders = {fd: codecs.getincrementaldecoder("utf-8")(errors="replace") for fd in self._open_pipes}

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.last_output_at = time.monotonic()
        text = self._decoders[fd].decode(data)
        if fd == 2:
            self.stderr.add(text)
            return
        self.stdout.add(text)
        self._hear(self._lines.feed(text))

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open_pipes.discard(fd)
        if fd == 1:
            self._hear(self._lines.flush())
        if not self._open_pipes and not self.closed.done():
            self.closed.set_result(None)

    def process_exited(self) -> None:
        if not self.exited.done():
            self.exited.set_result(None)

    def _hear(self, lines: list[str]) -> None:
        for line in lines:
            if self._watch.on_line is not None:
                self._watch.on_line(line)
        if self._watch.is_done is not None and self._watch.is_done():
            self.done.set()


class ChildProcesses:
    """Starts children and knows which processes are its own, so that a reaper leaves them to asyncio."""

    def __init__(self) -> None:
        self._own: set[int] = set()
        self._starting = 0

    @property
    def is_starting(self) -> bool:
        """Tell whether a child may exist whose id is not known yet."""
        return self._starting > 0

    def owns(self, pid: int) -> bool:
        return pid in self._own

    async def run(
        self, spec: ChildSpec, deadlines: Deadlines, watch: Watch | None = None, stop: asyncio.Event | None = None
    ) -> ChildOutcome:
        """Run one child to its end, whichever comes first: its exit, its last event, a deadline, or `stop`.

        Nothing of its process group is alive afterwards. OSError when it cannot be started.
        """
        transport, child = await self._start(spec, watch or Watch())
        pid = transport.get_pid()
        try:
            ending = await _first_ending(child, deadlines, stop)
            await end_group(pid, deadlines.kill_grace_seconds, transport.get_returncode)
            await asyncio.wait({child.exited, child.closed}, timeout=CLOSE_SECONDS)
            return ChildOutcome(
                ending=ending,
                exit_code=transport.get_returncode(),
                stdout=child.stdout.text(),
                stderr_tail=child.stderr.text().strip(),
                duration_seconds=time.monotonic() - child.started_at,
            )
        finally:
            _signal_group(pid, signal.SIGKILL)
            if not child.exited.done():  # cancelled: who goes on, or closes the loop, finds the child collected
                await asyncio.wait({child.exited}, timeout=KILLED_SECONDS)
            transport.close()
            self._own.discard(pid)

    async def _start(self, spec: ChildSpec, watch: Watch) -> tuple[asyncio.SubprocessTransport, _Child]:
        self._starting += 1
        try:
            transport, child = await asyncio.get_running_loop().subprocess_exec(
                lambda: _Child(watch),
                *spec.argv,
                cwd=spec.cwd,
                env=dict(spec.env),
                stdin=asyncio.subprocess.DEVNULL if spec.stdin is None else asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
            self._own.add(transport.get_pid())
        finally:
            self._starting -= 1
        if spec.stdin is not None:
            pipe = transport.get_pipe_transport(0)
            if isinstance(pipe, asyncio.WriteTransport):
                pipe.write(spec.stdin.encode())
                pipe.close()
        return transport, child


async def _first_ending(child: _Child, deadlines: Deadlines, stop: asyncio.Event | None) -> Ending:
    """Wait for the first reason to end the run."""
    stop = stop or asyncio.Event()
    signals = {asyncio.ensure_future(child.done.wait()), asyncio.ensure_future(stop.wait())}
    try:
        while True:
            if child.exited.done():
                return Ending.EXITED
            if stop.is_set():
                return Ending.STOPPED
            if child.done.is_set():
                await asyncio.wait({child.exited}, timeout=deadlines.linger_seconds)
                return Ending.EXITED if child.exited.done() else Ending.FINISHED
            at, ending = _nearest(child, deadlines)
            left = at - time.monotonic()
            if left <= 0:
                return ending
            if deadlines.idle_seconds is not None:
                # The first output begins the idle time without waking us.
                left = min(left, deadlines.idle_seconds)
            waited: set[asyncio.Future[Any]] = {child.exited, *signals}
            await asyncio.wait(waited, timeout=left, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in signals:
            waiter.cancel()


def _nearest(child: _Child, deadlines: Deadlines) -> tuple[float, Ending]:
    """Return the deadline that comes first, on the monotonic clock, and what missing it means."""
    candidates = [(child.started_at + deadlines.total_seconds, Ending.TOTAL_DEADLINE)]
    if child.last_output_at is None:
        if deadlines.start_seconds is not None:
            candidates.append((child.started_at + deadlines.start_seconds, Ending.START_DEADLINE))
    elif deadlines.idle_seconds is not None:
        candidates.append((child.last_output_at + deadlines.idle_seconds, Ending.IDLE_DEADLINE))
    return min(candidates)


def _signal_group(pgid: int, number: int) -> bool:
    """Signal a process group; False when nothing of it is left."""
    try:
        os.killpg(pgid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


async def end_group(pgid: int, grace_seconds: float, leader_code: Callable[[], int | None]) -> None:
    """End a process group: TERM, a grace, KILL. A group whose leader was already waited for may be empty."""
    if not _signal_group(pgid, signal.SIGTERM):
        return
    if leader_code() is not None and not has_living_member(pgid):
        return
    until = time.monotonic() + grace_seconds
    while time.monotonic() < until:
        await asyncio.sleep(GROUP_POLL_SECONDS)
        if leader_code() is not None and not has_living_member(pgid):
            return
    _signal_group(pgid, signal.SIGKILL)
