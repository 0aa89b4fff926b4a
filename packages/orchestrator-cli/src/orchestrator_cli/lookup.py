"""Finds what a person or agent names: projects by id or name, tasks with their latest run."""

from __future__ import annotations

import asyncio
import time

from orchestrator_cli.context import Context
from orchestrator_cli.errors import InTheWay, JsonObject, RowMissing, TookTooLong, UsageFault
from orchestrator_cli.output import note

FINAL_STATUSES = frozenset({"completed", "failed", "cancelled"})
FIRST_POLL_SECONDS = 0.2
LONGEST_POLL_SECONDS = 3.0


async def find_project(context: Context, project: str) -> JsonObject:
    """Return a project by its id or its name."""
    try:
        return await context.gateway.get_project(project)
    except (RowMissing, UsageFault):
        named = [row for row in await context.gateway.list_projects(name=project) if row.get("name") == project]
    if not named:
        raise RowMissing(f"there is no project with the id or name {project!r}", {"project": project})
    if len(named) > 1:
        raise InTheWay(f"more than one project is named {project!r}: use an id", {"ids": [r.get("id") for r in named]})
    return named[0]


async def task_with_run(context: Context, task_id: str, kind: str) -> JsonObject:
    """Return a task of this kind and its latest run."""
    task = await context.gateway.get_task(task_id)
    if task.get("type") != kind:
        raise RowMissing(f"the task {task_id} is no {kind} task", {"task_id": task_id})
    runs = await context.gateway.list_runs(task_id=task_id)
    latest = max(runs, key=lambda run: str(run.get("created_at")), default=None)
    return {"task": task, "run": latest, "status": task.get("status")}


async def until_final(context: Context, task_id: str, kind: str, seconds: float) -> JsonObject:
    """Return the task once it is final; TookTooLong with its last state when that does not happen in time."""
    until = time.monotonic() + seconds
    pause = FIRST_POLL_SECONDS
    told = None
    while True:
        state = await task_with_run(context, task_id, kind)
        if state["status"] in FINAL_STATUSES:
            return state
        if state["status"] != told:
            told = state["status"]
            note(f"task {task_id} is {told}")
        if time.monotonic() + pause > until:
            raise TookTooLong(f"the task {task_id} is still {told} after {seconds:g} s", {"task_id": task_id, **state})
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_POLL_SECONDS)
