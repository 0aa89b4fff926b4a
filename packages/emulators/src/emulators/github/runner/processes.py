"""Starts the processes of steps in their own sessions, as the runner's user, and ends whole process groups."""

import asyncio
import os
import pwd
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulators.github.errors import EmulatorError, StepError

TERMINATE_SECONDS = 2.0
DRAIN_SECONDS = 2.0
MAX_LINE = 65_536


@dataclass(frozen=True)
class Account:
    """Who runs the steps."""

    uid: int
    gid: int
    name: str

    @classmethod
    def of(cls, uid: int | None) -> "Account | None":
        """Return the account of a uid with its own group; None (run as ourselves) for None or our own uid."""
        if uid is None or uid == os.getuid():
            return None
        if os.getuid() != 0:
            raise EmulatorError(f"only root can run jobs as uid {uid}")
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:
            return cls(uid, uid, f"runner-{uid}")
        return cls(uid, entry.pw_gid, entry.pw_name)


@dataclass(frozen=True)
class Command:
    """One process to run."""

    arguments: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    timeout_seconds: float | None = None


@dataclass(frozen=True)
class Outcome:
    """How it ended: reason is exited, timeout or cancelled."""

    code: int
    reason: str = "exited"


class ProcessGroups:
    """Runs commands for one job and remembers their groups, so that nothing of the job outlives it."""

    def __init__(self, account: Account | None, cancelled: asyncio.Event, note: Callable[[int, int], None]) -> None:
        self._account = account
        self._cancelled = cancelled
        self._note = note
        self._groups: list[int] = []

    async def run(self, command: Command, on_line: Callable[[str], None], *, stoppable: bool = True) -> Outcome:
        """Run to the end, the timeout or (when stoppable) the job's cancellation; stderr goes with stdout."""
        # Our own pipe: asyncio's would make wait() last until every background child has closed it.
        read_end, write_end = os.pipe()
        stream, transport = await _reading(read_end)
        try:
            process = await self._start(command, asyncio.subprocess.STDOUT, write_end)
        except BaseException:
            transport.close()
            raise
        finally:
            os.close(write_end)
        reader = asyncio.create_task(_pump(stream, on_line))
        try:
            outcome = await self._ended(process, command.timeout_seconds, stoppable)
            await asyncio.wait({reader}, timeout=DRAIN_SECONDS)
            return outcome
        finally:
            reader.cancel()
            transport.close()
            await _reaped(process)

    async def capture(self, command: Command, target: Path) -> Outcome:
        """Run with stdout into a file of ours; stderr is dropped."""
        with target.open("wb") as sink:
            process = await self._start(command, asyncio.subprocess.DEVNULL, sink.fileno())
            try:
                return await self._ended(process, command.timeout_seconds, True)
            finally:
                await _reaped(process)

    def kill_all(self) -> None:
        """Kill every group that still has members."""
        for group in self._groups:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        self._groups.clear()

    async def _start(self, command: Command, stderr: int, stdout: int) -> asyncio.subprocess.Process:
        identity: dict[str, Any] = {}
        if self._account is not None:
            identity = {"user": self._account.uid, "group": self._account.gid, "extra_groups": []}
        try:
            process = await asyncio.create_subprocess_exec(
                *command.arguments,
                cwd=command.directory,
                env=dict(command.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                umask=0o022,
                **identity,
            )
        except OSError as error:
            raise StepError(f"{command.arguments[0]} could not be started in {command.directory}: {error}") from error
        self._groups.append(process.pid)
        self._note(process.pid, start_ticks(process.pid))
        return process

    async def _ended(self, process: asyncio.subprocess.Process, timeout: float | None, stoppable: bool) -> Outcome:
        waiter = asyncio.create_task(process.wait())
        canceller = asyncio.create_task(self._cancelled.wait())
        watched = {waiter, canceller} if stoppable else {waiter}
        try:
            done, _ = await asyncio.wait(watched, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if waiter in done:
                return Outcome(waiter.result())
            _signal(process.pid, signal.SIGTERM)
            await asyncio.wait({waiter}, timeout=TERMINATE_SECONDS)
            _signal(process.pid, signal.SIGKILL)
            return Outcome(await waiter, "cancelled" if canceller in done else "timeout")
        finally:
            waiter.cancel()
            canceller.cancel()


def start_ticks(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 when it is gone or the system has no /proc."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])


def kill_leftover(group_id: int, ticks: int) -> bool:
    """Kill a group noted by an earlier emulator, if its leader is still that very process."""
    if not ticks or start_ticks(group_id) != ticks:
        return False
    _signal(group_id, signal.SIGKILL)
    return True


def _signal(group_id: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group_id, number)


async def _reading(descriptor: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    stream = asyncio.StreamReader()
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
    return stream, transport


async def _reaped(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        _signal(process.pid, signal.SIGKILL)
        await process.wait()


async def _pump(stream: asyncio.StreamReader, on_line: Callable[[str], None]) -> None:
    pending = b""
    while chunk := await stream.read(MAX_LINE):
        *lines, pending = (pending + chunk).split(b"\n")
        if len(pending) > MAX_LINE:
            lines, pending = [*lines, pending], b""
        for line in lines:
            on_line(line.rstrip(b"\r").decode(errors="replace"))
    if pending:
        on_line(pending.decode(errors="replace"))
