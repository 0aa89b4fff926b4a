"""/api/projects"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header

from orchestrator_api.context import Allow, Context, Service
from orchestrator_api.repositories import projects
from orchestrator_api.routers.paging import Listed
from orchestrator_api.tokens import Caller
from shared.contracts.dto.work import ProjectCreate, ProjectDTO, ProjectUpdate

router = APIRouter(prefix="/projects", tags=["projects"])
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)]


@router.post("", status_code=201)
async def create_project(
    body: ProjectCreate,
    context: Context,
    caller: Annotated[Caller, Depends(Allow("project.create"))],
    idempotency_key: IdempotencyKey = None,
) -> ProjectDTO:
    return await projects.create(context.database, caller, body, idempotency_key)


@router.get("")
async def list_projects(
    context: Context,
    caller: Annotated[Caller, Depends(Allow("project.list"))],
    listing: Listed,
    owner_id: str | None = None,
    name: str | None = None,
) -> list[ProjectDTO]:
    found = await projects.page(context.database, caller, listing.page, owner_id=owner_id, name=name)
    return listing.answer(found)


@router.get("/{project_id}")
async def get_project(
    project_id: str,
    context: Context,
    caller: Annotated[Caller, Depends(Allow("project.get", "project.tasks", "engineering.start", "deploy.start"))],
) -> ProjectDTO:
    return await projects.get(context.database, caller, project_id)


@router.patch("/{project_id}")
async def update_project(project_id: str, body: ProjectUpdate, context: Context, _: Service) -> ProjectDTO:
    return await projects.update(context.database, project_id, body)
