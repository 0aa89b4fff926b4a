"""Tasks and what agent turns cost."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from orchestrator_api.db.engine import Database
from orchestrator_api.db.tables import projects, runs, task_executions, tasks
from orchestrator_api.errors import Refused, RowNotFound
from orchestrator_api.repositories.rows import (
    Page,
    first_answer,
    inserted,
    keep_answer,
    listed,
    matches,
    one_or_none,
    to_contract,
    updated,
)
from orchestrator_api.tokens import Caller
from shared.contracts.base import current_correlation_id, new_id
from shared.contracts.dto.work import TaskCreate, TaskDTO, TaskExecutionCreate, TaskExecutionDTO, TaskUpdate
from shared.contracts.stages import Usage
from shared.contracts.vocabulary import TaskStatus

ROUTE = "tasks"
FINAL = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED)


async def create(database: Database, caller: Caller, body: TaskCreate, key: str | None) -> TaskDTO:
    """Insert a task of a project the caller may see; writes rows and nothing else."""
    async with database.write() as connection:
        if key is not None and (answer := await first_answer(connection, caller, ROUTE, key, body)) is not None:
            return TaskDTO.model_validate_json(answer)
        mine = matches(projects, {"id": body.project_id, "owner_id": caller.owner_id})
        project = await one_or_none(connection, projects, *mine)
        if project is None:
            raise RowNotFound("project", body.project_id)
        if body.parent_task_id is not None:
            parent = matches(tasks, {"id": body.parent_task_id, "owner_id": project["owner_id"]})
            if await one_or_none(connection, tasks, *parent) is None:
                raise RowNotFound("task", body.parent_task_id)
        values = {
            **body.model_dump(mode="json"),
            "id": new_id(),
            "owner_id": project["owner_id"],
            "correlation_id": current_correlation_id(),
        }
        row = (await connection.execute(sa.insert(tasks).values(**values).returning(tasks))).mappings().one()
        task = to_contract(TaskDTO, row)
        if key is not None:
            await keep_answer(connection, caller, ROUTE, key, task.model_dump_json())
    return task


async def get(database: Database, caller: Caller, task_id: str) -> TaskDTO:
    """Return the task, or raise RowNotFound (also when it is somebody else's)."""
    async with database.read() as connection:
        row = await one_or_none(connection, tasks, *matches(tasks, {"id": task_id, "owner_id": caller.owner_id}))
    if row is None:
        raise RowNotFound("task", task_id)
    return to_contract(TaskDTO, row)


async def page(
    database: Database,
    caller: Caller,
    page: Page,
    *,
    project_id: str | None,
    owner_id: str | None,
    status: TaskStatus | None,
) -> tuple[list[TaskDTO], int | None]:
    """Return one page of the tasks the caller may see."""
    filters = {"project_id": project_id, "owner_id": caller.owner_id or owner_id, "status": status}
    async with database.read() as connection:
        return await listed(connection, TaskDTO, tasks, page, matches(tasks, filters))


async def update(database: Database, task_id: str, body: TaskUpdate) -> TaskDTO:
    """Set the status; a final task keeps its first outcome."""
    async with database.read() as connection:
        if body.status is not None:
            is_news = sa.and_(tasks.c.status.not_in(FINAL), tasks.c.status != body.status)
            await updated(connection, tasks, {"status": body.status}, tasks.c.id == task_id, is_news)
        row = await one_or_none(connection, tasks, tasks.c.id == task_id)
    if row is None:
        raise RowNotFound("task", task_id)
    if body.status is not None and row["status"] != body.status:
        raise Refused("already_final", f"the task is {row['status']}")
    return to_contract(TaskDTO, row)


def _execution(row: sa.RowMapping) -> TaskExecutionDTO:
    usage = Usage.model_validate({name: row[name] for name in Usage.model_fields})
    return to_contract(TaskExecutionDTO, row, usage=usage)


async def record_execution(database: Database, body: TaskExecutionCreate) -> TaskExecutionDTO:
    """Store what a turn used, once per request id and attempt; the run fills in what was left out."""
    values: dict[str, Any] = body.model_dump(mode="json", exclude={"usage"})
    async with database.read() as connection:
        if body.run_id is not None:
            run = await one_or_none(connection, runs, runs.c.id == body.run_id)
            for name in ("task_id", "project_id", "owner_id"):
                values[name] = values[name] or (run[name] if run is not None else None)
        row = await inserted(connection, task_executions, {**values, **body.usage.model_dump()})
        if row is None:
            identity = {"request_id": body.request_id, "attempt": body.attempt}
            row = await one_or_none(connection, task_executions, *matches(task_executions, identity))
    if row is None:
        raise RowNotFound("execution", body.request_id)
    return _execution(row)


async def executions(
    database: Database, caller: Caller, page: Page, *, run_id: str | None, project_id: str | None, owner_id: str | None
) -> tuple[list[TaskExecutionDTO], int | None]:
    """Return one page of executions."""
    filters = {"run_id": run_id, "project_id": project_id, "owner_id": caller.owner_id or owner_id}
    query = sa.select(task_executions).where(task_executions.c.id > page.after, *matches(task_executions, filters))
    async with database.read() as connection:
        result = await connection.execute(query.order_by(task_executions.c.id).limit(page.limit))
        rows = result.mappings().all()
    return [_execution(row) for row in rows], int(rows[-1]["id"]) if len(rows) == page.limit else None
