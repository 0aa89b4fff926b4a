"""Runs one command to its end: signals cancel it, and what the platform can name is said without a traceback."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import typer

from shared.runtime.errors import PlatformError


def run(work: Coroutine[Any, Any, int]) -> None:
    """Run a command to its end; what the platform can name is said without a traceback."""

    async def guarded() -> int:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            return 130

    try:
        code = asyncio.run(guarded())
    except PlatformError as error:
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        code = 1
    raise typer.Exit(code)
