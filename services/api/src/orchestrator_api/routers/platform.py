"""/api/settings, /api/leases, /api/worker-tokens"""

from __future__ import annotations

from fastapi import APIRouter

from orchestrator_api.context import Context, Service
from orchestrator_api.errors import BadRequest
from orchestrator_api.repositories import platform
from orchestrator_api.repositories.rows import audited
from shared.contracts.dto.accounts import (
    LeaseClaim,
    LeaseDTO,
    LeaseRelease,
    LeaseRenew,
    SettingDTO,
    WorkerTokenDTO,
    WorkerTokenRequest,
)

router = APIRouter(tags=["platform"])


@router.get("/settings/{name:path}")
async def get_setting(name: str, context: Context, _: Service) -> SettingDTO:
    return await platform.get_setting(context.database, name)


@router.put("/settings/{name:path}")
async def put_setting(name: str, body: SettingDTO, context: Context, caller: Service) -> SettingDTO:
    if body.name != name:
        raise BadRequest.field("name", "is the name in the path")
    return await platform.put_setting(context.database, caller, name, body.value)


@router.post("/leases/{name:path}/claim")
async def claim_lease(name: str, body: LeaseClaim, context: Context, _: Service) -> LeaseDTO:
    return await platform.claim_lease(context.database, name, body)


@router.post("/leases/{name:path}/renew")
async def renew_lease(name: str, body: LeaseRenew, context: Context, _: Service) -> LeaseDTO:
    return await platform.renew_lease(context.database, name, body)


@router.post("/leases/{name:path}/release", status_code=204)
async def release_lease(name: str, body: LeaseRelease, context: Context, _: Service) -> None:
    await platform.release_lease(context.database, name, body)


@router.post("/worker-tokens", status_code=201)
async def create_worker_token(body: WorkerTokenRequest, context: Context, caller: Service) -> WorkerTokenDTO:
    token, expires_at = context.tokens.mint_worker(
        worker_id=body.worker_id,
        owner_id=body.owner_id,
        scopes=body.scopes,
        run_id=body.run_id,
        ttl_seconds=body.ttl_seconds,
    )
    async with context.database.read() as connection:
        await audited(connection, caller, "worker_token.create", body.worker_id, " ".join(body.scopes))
    return WorkerTokenDTO(token=token, expires_at=expires_at)
