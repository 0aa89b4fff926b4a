"""/api/servers, /api/allocations, /api/deployments"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from orchestrator_api.context import Allow, Context, Service
from orchestrator_api.repositories import servers
from orchestrator_api.routers.paging import Listed
from orchestrator_api.tokens import Caller
from shared.contracts.dto.infrastructure import (
    AllocationCreate,
    AllocationDTO,
    DeploymentClaim,
    DeploymentDTO,
    DeploymentUpdate,
    ServerCreate,
    ServerDTO,
    ServerUpdate,
)
from shared.contracts.vocabulary import ServerStatus

router = APIRouter(tags=["infrastructure"])
INFRA = ("infra.servers", "infra.status", "infra.list")
Onlooker = Annotated[Caller, Depends(Allow(*INFRA))]


@router.post("/servers", status_code=201)
async def create_server(body: ServerCreate, context: Context, _: Service) -> ServerDTO:
    return await servers.create(context.database, body)


@router.get("/servers")
async def list_servers(
    context: Context,
    _: Onlooker,
    listing: Listed,
    status: ServerStatus | None = None,
) -> list[ServerDTO]:
    return listing.answer(await servers.page(context.database, listing.page, status=status))


@router.get("/servers/{handle}")
async def get_server(handle: str, context: Context, _: Onlooker) -> ServerDTO:
    return await servers.get(context.database, handle)


@router.patch("/servers/{handle}")
async def update_server(handle: str, body: ServerUpdate, context: Context, _: Service) -> ServerDTO:
    return await servers.update(context.database, handle, body)


@router.post("/allocations", status_code=201)
async def allocate(body: AllocationCreate, context: Context, _: Service) -> AllocationDTO:
    return await servers.allocate(context.database, body)


@router.get("/allocations")
async def list_allocations(
    context: Context, _: Service, listing: Listed, project_id: str | None = None
) -> list[AllocationDTO]:
    found = await servers.page_of_allocations(context.database, listing.page, project_id=project_id)
    return listing.answer(found)


@router.post("/deployments", status_code=201)
async def claim_deployment(body: DeploymentClaim, context: Context, _: Service) -> DeploymentDTO:
    return await servers.claim_deployment(context.database, body)


@router.get("/deployments")
async def list_deployments(
    context: Context,
    _: Service,
    listing: Listed,
    project_id: str | None = None,
    run_id: str | None = None,
) -> list[DeploymentDTO]:
    found = await servers.page_of_deployments(context.database, listing.page, project_id=project_id, run_id=run_id)
    return listing.answer(found)


@router.patch("/deployments/{deployment_id}")
async def update_deployment(deployment_id: int, body: DeploymentUpdate, context: Context, _: Service) -> DeploymentDTO:
    return await servers.update_deployment(context.database, deployment_id, body)
