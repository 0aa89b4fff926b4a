"""/api/runs/{id}/events, /stream, /wait, /evidence"""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from orchestrator_api.context import Context, Service
from orchestrator_api.errors import BadRequest
from orchestrator_api.events.stream import EventStream
from orchestrator_api.repositories import run_log, runs
from orchestrator_api.repositories.rows import DEFAULT_LIMIT, MAX_LIMIT
from orchestrator_api.routers.paging import linked
from orchestrator_api.routers.projects import IdempotencyKey
from orchestrator_api.routers.runs import Follower
from shared.contracts.dto.work import EvidenceCreate, EvidenceDTO, RunDTO, RunEventAppend, RunEventDTO

router = APIRouter(prefix="/runs/{run_id}", tags=["runs"])
MAX_WAIT_SECONDS = 300.0
MAX_EVENTS = 500


@router.post("/events", status_code=201)
async def append_events(
    run_id: str,
    body: list[RunEventAppend],
    context: Context,
    _: Service,
    idempotency_key: IdempotencyKey = None,
) -> list[RunEventDTO]:
    if len(body) > MAX_EVENTS:
        raise BadRequest.field("body", f"at most {MAX_EVENTS} events at once")
    return await run_log.append_events(context.database, run_id, body, idempotency_key)


@router.get("/events")
async def list_events(
    request: Request,
    response: Response,
    run_id: str,
    context: Context,
    caller: Follower,
    from_seq: Annotated[int, Query(ge=1)] = 1,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
) -> list[RunEventDTO]:
    await runs.get(context.database, caller, run_id)
    found = await run_log.events(context.database, run_id, from_seq, limit)
    return linked(request, response, found, "from_seq")


@router.get("/stream", response_class=Response)
async def stream_events(
    run_id: str,
    context: Context,
    caller: Follower,
    from_seq: Annotated[int, Query(ge=1)] = 1,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Server-Sent Events; 204 tells a reader that has seen the last event not to come back."""
    if last_event_id is not None:
        if not last_event_id.isdigit():
            raise BadRequest.field("Last-Event-ID", "is the seq of the last event seen")
        from_seq = int(last_event_id) + 1
    run = await runs.get(context.database, caller, run_id)
    if run.finished_at is not None and from_seq > run.last_seq:
        return Response(status_code=204)
    return EventStream(context.hub, run_id, min(from_seq, run.last_seq + 1), context.stop)


@router.get("/wait")
async def wait_run(
    run_id: str,
    context: Context,
    caller: Follower,
    timeout_seconds: Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS)] = 30.0,
) -> RunDTO:
    """Answer when the run is final, or as it is after the timeout."""
    with context.hub.follow(run_id) as topic:
        run = await runs.get(context.database, caller, run_id)
        if run.finished_at is not None:
            return run
        topic.start_after(run.last_seq)
        try:
            async with asyncio.timeout(timeout_seconds):
                while not (topic.is_finished or context.stop.is_set()):
                    await topic.changed.wait()
        except TimeoutError:
            return await runs.get(context.database, caller, run_id)
    return await runs.get(context.database, caller, run_id)


@router.post("/evidence", status_code=201)
async def add_evidence(run_id: str, body: EvidenceCreate, context: Context, _: Service) -> EvidenceDTO:
    return await run_log.add_evidence(context.database, run_id, body)


@router.get("/evidence")
async def list_evidence(run_id: str, context: Context, caller: Follower) -> list[EvidenceDTO]:
    await runs.get(context.database, caller, run_id)
    return await run_log.evidence_of(context.database, caller, run_id)
