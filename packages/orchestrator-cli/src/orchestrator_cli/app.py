"""The command tree of `orchestrator`. Light: what a command needs is loaded when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator_cli.commands import diagnose, infra, project, work
from orchestrator_cli.invocation import execute
from orchestrator_cli.output import write_answer


def make_app() -> typer.Typer:
    """Return the whole tree."""
    app = typer.Typer(
        name="orchestrator",
        help="Create projects, have work done on them, deploy them. Answers are JSON on stdout.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.add_typer(project.app, name="project")
    app.add_typer(work.engineering, name="engineering")
    app.add_typer(work.deploy, name="deploy")
    app.add_typer(infra.app, name="infra")
    app.add_typer(diagnose.app, name="diagnose")
    app.command()(respond)
    app.command()(schema)
    return app


def respond(text: Annotated[str, typer.Argument(help="What to say; - reads it from stdin.")]) -> None:
    """Tell the user something while the turn goes on."""
    from orchestrator_cli.commands import respond as command

    execute("respond", lambda context: command.respond(context, command.read_text(text)))


def schema() -> None:
    """Describe every command, its parameters and exit codes as JSON."""
    from orchestrator_cli.commands.schema import describe

    write_answer(describe(typer.main.get_command(make_app())))
