"""Runs one command: permission first, then the work, then exactly one JSON object and an exit code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import typer

from orchestrator_cli.context import Context, current_context
from orchestrator_cli.errors import CliError
from orchestrator_cli.output import Answer, write_answer, write_error
from orchestrator_cli.permissions import require

Work = Callable[[Context], Awaitable[Answer]]


def execute(command: str, work: Work) -> None:
    """Run a command's work in the real context and leave with its exit code."""
    try:
        context = current_context()
        require(command, context.settings.allowed_commands)
        answer = run(work, context)
    except CliError as error:
        write_error(error)
        raise typer.Exit(error.exit_code) from None
    write_answer(answer)


def run(work: Work, context: Context) -> Answer:
    """Run a command's work on an event loop of its own."""
    import asyncio  # late: `--help` needs no event loop

    async def main() -> Answer:
        return await work(context)

    return asyncio.run(main())
