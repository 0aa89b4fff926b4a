"""/api/workers, /api/incidents"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from orchestrator_api.context import Allow, Context, Service
from orchestrator_api.errors import BadRequest
from orchestrator_api.repositories import operations
from orchestrator_api.routers.paging import Listed
from orchestrator_api.tokens import Caller
from shared.contracts.dto.infrastructure import (
    IncidentCreate,
    IncidentDTO,
    WorkerDTO,
    WorkerReport,
)
from shared.contracts.vocabulary import IncidentStatus

router = APIRouter(tags=["operations"])


@router.put("/workers/{worker_id}")
async def report_worker(worker_id: str, body: WorkerReport, context: Context, _: Service) -> WorkerDTO:
    if body.id != worker_id:
        raise BadRequest.field("id", "is the id in the path")
    return await operations.report_worker(context.database, body)


@router.get("/workers")
async def list_workers(context: Context, _: Service, listing: Listed) -> list[WorkerDTO]:
    return listing.answer(await operations.page_of_workers(context.database, listing.page))


@router.post("/incidents", status_code=201)
async def open_incident(body: IncidentCreate, context: Context, _: Service) -> IncidentDTO:
    return await operations.open_incident(context.database, body)


@router.post("/incidents/{key:path}/resolve", status_code=204)
async def resolve_incident(key: str, context: Context, _: Service) -> None:
    await operations.resolve_incident(context.database, key)


@router.get("/incidents")
async def list_incidents(
    context: Context,
    _: Annotated[Caller, Depends(Allow("infra.incidents", "infra.status"))],
    listing: Listed,
    status: IncidentStatus | None = None,
) -> list[IncidentDTO]:
    return listing.answer(await operations.page_of_incidents(context.database, listing.page, status=status))
