"""`orchestrator engineering …` and `orchestrator deploy …`: start, status, wait. Two groups of one shape."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator_cli.context import Context
from orchestrator_cli.invocation import execute
from orchestrator_cli.output import Answer

ProjectOption = Annotated[str, typer.Option(help="The project's id or name.")]
TaskOption = Annotated[str | None, typer.Option("--task", help="The task's id.")]
TaskArgument = Annotated[str | None, typer.Argument(help="The task's id.")]
TimeoutOption = Annotated[float, typer.Option(min=0, help="Seconds to wait at most.")]
TitleOption = Annotated[str | None, typer.Option(help="A short title; by default the first line.")]

engineering = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Work on a project's code.")
deploy = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Bring a project's main branch to a server.")


@engineering.command("start")
def start_engineering(
    project: ProjectOption, task: Annotated[str, typer.Option(help="What to do.")], title: TitleOption = None
) -> None:
    """Create an engineering task and start it."""
    execute("engineering.start", lambda context: start(context, "engineering", project, task, title))


@engineering.command("status")
def engineering_status(task_id: TaskArgument = None, task: TaskOption = None) -> None:
    """Show a task and its latest run."""
    execute("engineering.status", lambda context: status(context, "engineering", task_id or task))


@engineering.command("wait")
def engineering_wait(task_id: TaskArgument = None, task: TaskOption = None, timeout: TimeoutOption = 600.0) -> None:
    """Wait until a task is completed, failed or cancelled; data.status says which."""
    execute("engineering.wait", lambda context: wait(context, "engineering", task_id or task, timeout))


@deploy.command("start")
def start_deploy(
    project: ProjectOption, task: Annotated[str, typer.Option(help="A note on why.")] = "Deploy the main branch"
) -> None:
    """Create a deploy task and start it."""
    execute("deploy.start", lambda context: start(context, "deploy", project, task, None))


@deploy.command("status")
def deploy_status(task_id: TaskArgument = None, task: TaskOption = None) -> None:
    """Show a deploy task and its latest run."""
    execute("deploy.status", lambda context: status(context, "deploy", task_id or task))


@deploy.command("wait")
def deploy_wait(task_id: TaskArgument = None, task: TaskOption = None, timeout: TimeoutOption = 600.0) -> None:
    """Wait until a deploy task is completed, failed or cancelled; data.status says which."""
    execute("deploy.wait", lambda context: wait(context, "deploy", task_id or task, timeout))


async def start(context: Context, kind: str, project: str, task: str, title: str | None) -> Answer:
    """Create the task's row and publish its message."""
    from orchestrator_cli import orders
    from orchestrator_cli.lookup import find_project
    from shared.contracts.vocabulary import TaskType

    row = await orders.start_task(context, await find_project(context, project), TaskType(kind), task, title)
    return Answer(row, f"{kind} task {row.get('id')} started")


async def status(context: Context, kind: str, task_id: str | None) -> Answer:
    from orchestrator_cli.lookup import task_with_run

    state = await task_with_run(context, _given(task_id), kind)
    return Answer(state, f"the task is {state['status']}")


async def wait(context: Context, kind: str, task_id: str | None, seconds: float) -> Answer:
    from orchestrator_cli.lookup import until_final

    state = await until_final(context, _given(task_id), kind, seconds)
    return Answer(state, f"the task is {state['status']}")


def _given(task_id: str | None) -> str:
    from orchestrator_cli.errors import UsageFault

    if not task_id:
        raise UsageFault("task: give a task's id (--task ID)", {"field": "task"})
    return task_id
