"""Starts a contender's processes and reads what they report."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.environments import ROOT, CannotRun, interpreter
from tests.benchmarks.peers.contender import MARK
from tests.benchmarks.server import Server

REPORT_SECONDS = 300.0
LINE_BYTES = 2**24
LOG_CHARACTERS = 600
Report = dict[str, Any]


@dataclass(frozen=True)
class Contender:
    """Who takes part: a module with its roles, a variant of it, and the environment it needs ("" is the project's own).

    `share` is the part of the messages a slow one is given, so that every one of them takes about as long.
    """

    name: str
    module: str
    variant: str = ""
    environment: str = ""
    share: float = 1.0

    def number(self, number: int) -> int:
        """Return how many messages it gets when the fastest get `number`."""
        return max(100, int(number * self.share) // 100 * 100)


@dataclass(frozen=True)
class Playing:
    """A running process of a contender."""

    name: str
    process: asyncio.subprocess.Process

    async def report(self) -> Report:
        """Return its next report. Raises CannotRun when it ends or says nothing."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(REPORT_SECONDS):
                while line := await self.process.stdout.readline():
                    if line.startswith(MARK.encode()):
                        found: Report = json.loads(line[len(MARK) :])
                        return found
        except TimeoutError:
            raise CannotRun(f"{self.name}: no report within {REPORT_SECONDS:.0f} s") from None
        raise CannotRun(f"{self.name} ended: {await self._last_words()}")

    async def _last_words(self) -> str:
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode(errors="replace").strip()[-LOG_CHARACTERS:]


@asynccontextmanager
async def playing(
    contender: Contender, role: str, number: int, server: Server, *, keeps_latency: bool = False
) -> AsyncIterator[Playing]:
    """Run one role of a contender while the block runs, then end it and what it started."""
    arguments = [role, "--url", server.url, "--variant", contender.variant, "--number", str(number)]
    process = await asyncio.create_subprocess_exec(
        interpreter(contender.environment),
        "-m",
        f"tests.benchmarks.{contender.module}",
        *arguments,
        *(["--keeps-latency"] if keeps_latency else []),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
        start_new_session=True,
    )
    try:
        yield Playing(f"{contender.name} ({role})", process)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def play(contender: Contender, role: str, number: int, server: Server) -> Report:
    """Run a role to its report."""
    async with playing(contender, role, number, server) as running:
        return await running.report()
