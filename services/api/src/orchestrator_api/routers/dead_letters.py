"""/api/dead-letters: services only. A request is written down here; the relay carries it out."""

from __future__ import annotations

from fastapi import APIRouter

from orchestrator_api.context import Context, Service
from orchestrator_api.repositories import dead_letters
from orchestrator_api.routers.paging import Listed
from orchestrator_api.routers.projects import IdempotencyKey
from shared.contracts.dto.infrastructure import (
    DeadLetterCreate,
    DeadLetterDTO,
    DeadLetterFilter,
    DeadLettersRequested,
)
from shared.contracts.vocabulary import DeadLetterAction, DeadLetterState

router = APIRouter(prefix="/dead-letters", tags=["dead letters"])


@router.post("", status_code=201)
async def record_dead_letter(body: DeadLetterCreate, context: Context, _: Service) -> DeadLetterDTO:
    return await dead_letters.record(context.database, body)


@router.get("")
async def list_dead_letters(
    context: Context,
    _: Service,
    listing: Listed,
    stream: str | None = None,
    reason: str | None = None,
    state: DeadLetterState | None = None,
) -> list[DeadLetterDTO]:
    wanted = DeadLetterFilter(stream=stream, reason=reason)
    return listing.answer(await dead_letters.page(context.database, listing.page, wanted, state))


@router.post("/replay")
async def replay_dead_letters(
    body: DeadLetterFilter, context: Context, caller: Service, idempotency_key: IdempotencyKey = None
) -> DeadLettersRequested:
    return await dead_letters.replay_all(context.database, caller, body, idempotency_key)


@router.get("/{letter_id}")
async def get_dead_letter(letter_id: int, context: Context, _: Service) -> DeadLetterDTO:
    return await dead_letters.get(context.database, letter_id)


@router.post("/{letter_id}/replay")
async def replay_dead_letter(letter_id: int, context: Context, caller: Service) -> DeadLetterDTO:
    return await dead_letters.request(context.database, caller, letter_id, DeadLetterAction.REPLAY)


@router.post("/{letter_id}/discard")
async def discard_dead_letter(letter_id: int, context: Context, caller: Service) -> DeadLetterDTO:
    return await dead_letters.request(context.database, caller, letter_id, DeadLetterAction.DISCARD)
