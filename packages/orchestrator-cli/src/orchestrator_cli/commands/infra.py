"""`orchestrator infra …`: servers and incidents."""

from __future__ import annotations

import typer

from orchestrator_cli.context import Context
from orchestrator_cli.errors import JsonValue
from orchestrator_cli.invocation import execute
from orchestrator_cli.output import Answer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Servers and what is wrong with them.")


@app.command()
def servers() -> None:
    """List the servers."""
    execute("infra.servers", list_servers)


@app.command()
def incidents() -> None:
    """List the open incidents."""
    execute("infra.incidents", list_incidents)


async def list_servers(context: Context) -> Answer:
    found = await context.gateway.list_servers()
    return Answer(list[JsonValue](found), f"{len(found)} servers")


async def list_incidents(context: Context) -> Answer:
    found = await context.gateway.list_incidents()
    return Answer(list[JsonValue](found), f"{len(found)} incidents")
