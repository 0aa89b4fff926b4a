"""One embedded store under test: started, stopped, killed, paused and started again on the same data and port."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

STOP_SECONDS = 10.0
FOLDER_MODE = 0o755
PR_SET_PDEATHSIG = 1


class EmbeddedStore(Protocol):
    stop_signal: signal.Signals

    @property
    def run_as(self) -> tuple[int, int] | None: ...
    def prepare(self) -> None: ...
    def command(self) -> list[str]: ...
    def environment(self) -> dict[str, str]: ...
    async def wait_ready(self, deadline_seconds: float = 10.0) -> None: ...


class StoreProcess:
    """Owns the child process of a store; usable from any event loop."""

    def __init__(self, store: EmbeddedStore) -> None:
        self._store = store
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the server's process id; 0 while it does not run."""
        return self._process.pid if self._process is not None else 0

    async def start(self) -> None:
        """Start the server and return when it is ready."""
        self._store.prepare()
        self._process = self._spawn()
        await self._store.wait_ready()

    async def stop(self) -> None:
        """Ask the server to end and wait until it has."""
        await self._end(self._store.stop_signal)

    async def kill(self) -> None:
        """End the server without a word."""
        await self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze the server: connections stay open, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        os.kill(self.pid, signal.SIGCONT)

    def _spawn(self) -> subprocess.Popen[bytes]:
        run_as = self._store.run_as
        return subprocess.Popen(
            self._store.command(),
            env=self._store.environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            user=run_as[0] if run_as else None,
            group=run_as[1] if run_as else None,
            extra_groups=[] if run_as else None,
            preexec_fn=_end_with_parent(self._store.stop_signal),
        )

    async def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        try:
            await asyncio.to_thread(process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)


def _end_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Return what lets the kernel end the child when a killed test run cannot; only Linux offers it."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(PR_SET_PDEATHSIG, int(number))


class StoreFolder:
    """A folder for a store's data that other users may pass through, removed at the end."""

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self.path.chmod(FOLDER_MODE)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
