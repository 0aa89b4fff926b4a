"""Runs a child process with a deadline; its whole process group ends when the deadline passes or the caller is gone."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scaffolder.errors import DeadlineExceeded, ProcessFailed

_MESSAGE_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Command:
    arguments: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    deadline_seconds: float
    stdin: bytes = b""

    @property
    def name(self) -> str:
        return " ".join(str(argument) for argument in self.arguments[:2])


async def run(command: Command) -> str:
    """Return the command's stdout; raises ProcessFailed with the end of its stderr, or DeadlineExceeded."""
    process = await asyncio.create_subprocess_exec(
        *command.arguments,
        cwd=command.directory,
        env=dict(command.environment),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(command.deadline_seconds):
            out, err = await process.communicate(command.stdin)
    except TimeoutError as error:
        raise DeadlineExceeded(f"{command.name} took more than {command.deadline_seconds:.0f} s") from error
    finally:
        await _end_group(process)
    if process.returncode:
        text = err.decode(errors="replace").strip()[-_MESSAGE_CHARS:]
        raise ProcessFailed(f"{command.name} ended with {process.returncode}: {text}", returncode=process.returncode)
    return out.decode(errors="replace")


async def _end_group(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
