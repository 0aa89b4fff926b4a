"""/api/tasks and /api/task-executions"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from orchestrator_api.context import Allow, Context, Service
from orchestrator_api.errors import Forbidden
from orchestrator_api.repositories import tasks
from orchestrator_api.routers.paging import Listed
from orchestrator_api.routers.projects import IdempotencyKey
from orchestrator_api.tokens import Caller
from shared.contracts.dto.work import TaskCreate, TaskDTO, TaskExecutionCreate, TaskExecutionDTO, TaskUpdate
from shared.contracts.vocabulary import TaskStatus

router = APIRouter(tags=["tasks"])
STARTS = ("project.create", "engineering.start", "deploy.start")
FOLLOWS = ("engineering.status", "engineering.wait", "deploy.status", "deploy.wait")


@router.post("/tasks", status_code=201)
async def create_task(
    body: TaskCreate,
    context: Context,
    caller: Annotated[Caller, Depends(Allow(*STARTS))],
    idempotency_key: IdempotencyKey = None,
) -> TaskDTO:
    """Write the task's row; whoever wants work done publishes the hint."""
    needed = f"{body.type}.start"
    is_first_task = body.type == "engineering" and caller.may("project.create")
    if caller.kind != "service" and not (caller.may(needed) or is_first_task):
        raise Forbidden(f"the token of {caller.name} does not allow {needed}")
    return await tasks.create(context.database, caller, body, idempotency_key)


@router.get("/tasks")
async def list_tasks(
    context: Context,
    caller: Annotated[Caller, Depends(Allow("project.tasks", *FOLLOWS))],
    listing: Listed,
    project_id: str | None = None,
    owner_id: str | None = None,
    status: TaskStatus | None = None,
) -> list[TaskDTO]:
    found = await tasks.page(
        context.database, caller, listing.page, project_id=project_id, owner_id=owner_id, status=status
    )
    return listing.answer(found)


@router.get("/tasks/{task_id}")
async def get_task(
    task_id: str, context: Context, caller: Annotated[Caller, Depends(Allow("project.tasks", *FOLLOWS))]
) -> TaskDTO:
    return await tasks.get(context.database, caller, task_id)


@router.patch("/tasks/{task_id}")
async def update_task(task_id: str, body: TaskUpdate, context: Context, _: Service) -> TaskDTO:
    return await tasks.update(context.database, task_id, body)


@router.post("/task-executions", status_code=201)
async def record_execution(body: TaskExecutionCreate, context: Context, _: Service) -> TaskExecutionDTO:
    return await tasks.record_execution(context.database, body)


@router.get("/task-executions")
async def list_executions(
    context: Context,
    caller: Annotated[Caller, Depends(Allow(*FOLLOWS))],
    listing: Listed,
    run_id: str | None = None,
    project_id: str | None = None,
    owner_id: str | None = None,
) -> list[TaskExecutionDTO]:
    found = await tasks.executions(
        context.database, caller, listing.page, run_id=run_id, project_id=project_id, owner_id=owner_id
    )
    return listing.answer(found)
