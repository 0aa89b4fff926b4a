"""Runs the shim: starts workers under it and runs commands inside them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from worker_manager.errors import RuntimeFailed
from worker_manager.runtime import shim

LAUNCH_SECONDS = 30.0


class ShimLauncher:
    def __init__(self, python: str) -> None:
        self._python = python

    async def start(self, run_dir: Path) -> None:
        """Return once the worker runs under its own supervisor; RuntimeFailed names why it does not."""
        code, output = await self._run(LAUNCH_SECONDS, "start", str(run_dir))
        if code != 0:
            raise RuntimeFailed(f"the worker did not start: {output.strip()[-500:]}")

    async def run_inside(self, run_dir: Path, command: list[str], timeout_seconds: float) -> tuple[int, str]:
        """Run a command as the worker; return its exit code and output."""
        return await self._run(timeout_seconds, "exec", str(run_dir), *command)

    async def _run(self, timeout_seconds: float, *arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            self._python,
            "-I",
            "-S",
            shim.__file__,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # The shim runs with our rights for as long as the worker lives: it gets nothing of our environment.
            env={},
            cwd="/",
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(timeout_seconds):
                output, _ = await process.communicate()
        except TimeoutError as error:
            raise RuntimeFailed(f"no answer within {timeout_seconds:g} s from {arguments[0]}") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, output.decode(errors="replace")
