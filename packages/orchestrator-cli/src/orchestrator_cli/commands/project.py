"""`orchestrator project …`: create, list, get, tasks."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator_cli.context import Context
from orchestrator_cli.errors import JsonValue
from orchestrator_cli.invocation import execute
from orchestrator_cli.output import Answer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Projects of this user.")


@app.command()
def create(
    name: Annotated[str, typer.Option(help="3 to 50 characters: a-z, 0-9 and hyphens, beginning with a letter.")],
    description: Annotated[str, typer.Option(help="What it is, in a sentence.")] = "",
    modules: Annotated[str, typer.Option(help="Comma list of backend, telegram, frontend.")] = "backend",
    task: Annotated[
        str | None, typer.Option(help="What to build: also creates and starts an engineering task.")
    ] = None,
) -> None:
    """Create a project; with --task also an engineering task, and start it."""
    arguments: dict[str, JsonValue] = {
        "name": name,
        "description": description,
        "modules": [module.strip() for module in modules.split(",") if module.strip()],
    }
    execute("project.create", lambda context: create_project(context, arguments, task))


@app.command(name="list")
def list_() -> None:
    """List the projects."""
    execute("project.list", list_projects)


@app.command()
def get(project: Annotated[str, typer.Argument(help="A project's id or name.")]) -> None:
    """Show one project."""
    execute("project.get", lambda context: get_project(context, project))


@app.command()
def tasks(project: Annotated[str, typer.Argument(help="A project's id or name.")]) -> None:
    """List a project's tasks."""
    execute("project.tasks", lambda context: list_tasks(context, project))


async def create_project(context: Context, arguments: dict[str, JsonValue], task: str | None) -> Answer:
    """Create the row, and with a task its row and message as well."""
    from orchestrator_cli import orders
    from orchestrator_cli.permissions import require
    from shared.contracts.vocabulary import TaskType

    if task is not None:
        # Before anything is written: a project without the task it was made for helps nobody.
        require("engineering.start", context.settings.allowed_commands)
    project = await orders.create_project(context, arguments)
    name = str(project.get("name"))
    if task is None:
        return Answer(project, f"project {name} created")
    row = await orders.start_task(context, project, TaskType.ENGINEERING, task, None)
    return Answer({"project": project, "task": row, **project}, f"project {name} created and its first task started")


async def list_projects(context: Context) -> Answer:
    projects = await context.gateway.list_projects()
    return Answer(list[JsonValue](projects), f"{len(projects)} projects")


async def get_project(context: Context, project: str) -> Answer:
    from orchestrator_cli.lookup import find_project

    return Answer(await find_project(context, project))


async def list_tasks(context: Context, project: str) -> Answer:
    from orchestrator_cli.gateway import text
    from orchestrator_cli.lookup import find_project

    row = await find_project(context, project)
    tasks = await context.gateway.list_tasks(project_id=text(row, "id"))
    return Answer(list[JsonValue](tasks), f"{len(tasks)} tasks")
