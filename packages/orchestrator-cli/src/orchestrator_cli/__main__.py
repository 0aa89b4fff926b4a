"""`orchestrator`, also `python -m orchestrator_cli`: one JSON object on stdout, documented exit codes, no prompts."""

from __future__ import annotations

import sys

import typer

from orchestrator_cli.app import make_app
from orchestrator_cli.errors import UsageFault
from orchestrator_cli.output import write_error


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    command = typer.main.get_command(make_app())
    try:
        code = command.main(args=arguments, prog_name="orchestrator", standalone_mode=False)
    except typer.TyperException as error:
        fault = UsageFault(error.format_message() or "a command is missing: see orchestrator --help")
        write_error(fault)
        return fault.exit_code
    except typer.Abort:
        return 1
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
