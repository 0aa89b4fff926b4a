"""/api/runs: creation, reading, leases, transitions, cancellation."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from orchestrator_api.context import Allow, Context, Service
from orchestrator_api.repositories import run_leases, run_transitions, runs
from orchestrator_api.repositories.runs import RunFilter
from orchestrator_api.routers.paging import Listed
from orchestrator_api.routers.tasks import FOLLOWS
from orchestrator_api.tokens import Caller
from shared.contracts.dto.work import (
    RunCancel,
    RunClaim,
    RunCreate,
    RunDTO,
    RunRelease,
    RunRenew,
    TransitionRequest,
)
from shared.contracts.vocabulary import WaitKind

router = APIRouter(prefix="/runs", tags=["runs"])
Follower = Annotated[Caller, Depends(Allow(*FOLLOWS))]


async def _filter(
    task_id: str | None = None,
    project_id: str | None = None,
    owner_id: str | None = None,
    is_final: bool | None = None,
    wait_kind: WaitKind | None = None,
    is_due: bool | None = None,
    has_live_lease: bool | None = None,
) -> RunFilter:
    return RunFilter(task_id, project_id, owner_id, is_final, wait_kind, is_due, has_live_lease)


@router.post("", status_code=201)
async def create_run(body: RunCreate, context: Context, _: Service) -> RunDTO:
    return await runs.create(context.database, body)


@router.get("")
async def list_runs(
    context: Context,
    caller: Follower,
    listing: Listed,
    wanted: Annotated[RunFilter, Depends(_filter)],
) -> list[RunDTO]:
    return listing.answer(await runs.page(context.database, caller, listing.page, wanted))


@router.get("/{run_id}")
async def get_run(run_id: str, context: Context, caller: Follower) -> RunDTO:
    return await runs.get(context.database, caller, run_id)


@router.post("/{run_id}/claim")
async def claim_run(run_id: str, body: RunClaim, context: Context, _: Service) -> RunDTO:
    return await run_leases.claim(context.database, run_id, body)


@router.post("/{run_id}/renew")
async def renew_run(run_id: str, body: RunRenew, context: Context, _: Service) -> RunDTO:
    return await run_leases.renew(context.database, run_id, body)


@router.post("/{run_id}/release")
async def release_run(run_id: str, body: RunRelease, context: Context, _: Service) -> RunDTO:
    return await run_leases.release(context.database, run_id, body)


@router.post("/{run_id}/transitions")
async def transition(run_id: str, body: TransitionRequest, context: Context, _: Service) -> RunDTO:
    return await run_transitions.transition(context.database, run_id, body)


@router.post("/{run_id}/cancel")
async def cancel_run(
    run_id: str,
    body: RunCancel,
    context: Context,
    caller: Annotated[Caller, Depends(Allow("engineering.cancel", "deploy.cancel"))],
) -> RunDTO:
    return await runs.cancel(context.database, caller, run_id, body.reason)
