"""Starts an emulator as a real child process and stops it again; for the tests and demos of every member."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 20.0
STOP_SECONDS = 5.0
STDERR_LIMIT = 2**20


class EmulatorStartError(Exception):
    """The emulator ended, or said nothing, before it listened; the message carries its stderr."""


@dataclass
class EmulatorProcess:
    """A running emulator: where it listens and how to end it."""

    process: asyncio.subprocess.Process
    base_url: str
    stderr_path: Path

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        return int(self.base_url.rpartition(":")[2])

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self.process.pid

    def stderr(self) -> str:
        """Return the JSON lines it logged so far (the last 1 MiB)."""
        return _tail(self.stderr_path)

    async def kill(self) -> None:
        """End it at once, as a crash would."""
        await _end(self.process, signal.SIGKILL)

    async def stop(self) -> int:
        """End it by SIGTERM, by SIGKILL after 5 s, and return its exit code."""
        return await _end(self.process, signal.SIGTERM)


async def start_emulator(name: str, state: Path, options: Sequence[str] = (), *, port: int = 0) -> EmulatorProcess:
    """Start `python -m emulators NAME` on a loopback port (0: a free one) and wait until it listens.

    Raises EmulatorStartError.
    """
    # The parent's own environment, because coverage, locale and PYTHONPATH have to reach the child.
    return await start_python(["-m", "emulators", name, "--port", str(port), "--state", str(state), *options], state)


async def start_python(arguments: Sequence[str], state: Path) -> EmulatorProcess:
    """Start a Python child that prints the ready line of `emulators.server.serve`."""
    await asyncio.to_thread(state.mkdir, parents=True, exist_ok=True)
    stderr_path = state / "stderr.log"
    descriptor = os.open(stderr_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=descriptor,
        )
    finally:
        os.close(descriptor)
    line = await _first_line(process)
    if not line:
        code = await _end(process, signal.SIGKILL)
        raise EmulatorStartError(f"{' '.join(arguments)} did not start (exit {code}): {_tail(stderr_path)}")
    return EmulatorProcess(process, json.loads(line)["listening"], stderr_path)


@asynccontextmanager
async def running_emulator(
    name: str, state: Path, options: Sequence[str] = (), *, port: int = 0
) -> AsyncIterator[EmulatorProcess]:
    """Run an emulator for the length of the block."""
    emulator = await start_emulator(name, state, options, port=port)
    try:
        yield emulator
    finally:
        await emulator.stop()


async def _first_line(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            return await process.stdout.readline()
    except TimeoutError:
        return b""


async def _end(process: asyncio.subprocess.Process, number: signal.Signals) -> int:
    if process.returncode is None:
        process.send_signal(number)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            return await process.wait()
    except TimeoutError:
        process.kill()
        return await process.wait()


def _tail(path: Path) -> str:
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - STDERR_LIMIT))
        return log.read().decode(errors="replace")
