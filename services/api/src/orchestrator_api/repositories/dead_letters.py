"""Dead letters: recorded once, listed, and what operators ask for: row, audit and outbox row in one transaction."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator_api.db.engine import Database
from orchestrator_api.db.tables import dead_letters
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
)
from orchestrator_api.tokens import Caller
from shared.contracts.dead_letter_policy import REFUSAL_CODE, REQUESTED, is_settled, may_request
from shared.contracts.dto.infrastructure import (
    DeadLetterCreate,
    DeadLetterDTO,
    DeadLetterFilter,
    DeadLettersRequested,
)
from shared.contracts.vocabulary import DeadLetterAction, DeadLetterState

CHANNEL = "outbox"
REPLAY_ROUTE = "dead-letters/replay"

_INSTRUCT = sa.text("""
    WITH asked AS (
        SELECT id, stream FROM dead_letters WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id
    ), queued AS (
        INSERT INTO outbox (kind, stream, body)
        SELECT :kind, stream, json_build_object('dead_letter_id', id)::text FROM asked ORDER BY id
    ), logged AS (
        INSERT INTO audit (owner_id, actor_kind, actor, action, object, detail)
        SELECT :owner_id, :actor_kind, :actor, :action, 'dead_letter:' || id, stream FROM asked
    )
    SELECT pg_notify(:channel, '')
""")


async def record(database: Database, body: DeadLetterCreate) -> DeadLetterDTO:
    """Store a dead letter once per stream, entry and group."""
    identity = {"stream": body.stream, "entry_id": body.entry_id, "group": body.group}
    async with database.read() as connection:
        row = await inserted(connection, dead_letters, body.model_dump())
        if row is None:
            row = await one_or_none(connection, dead_letters, *matches(dead_letters, identity))
    if row is None:
        raise RowNotFound("dead letter", body.entry_id)
    return to_contract(DeadLetterDTO, row)


async def page(
    database: Database, page: Page, wanted: DeadLetterFilter, state: DeadLetterState | None
) -> tuple[list[DeadLetterDTO], int | None]:
    """Return one page of dead letters."""
    conditions = matches(dead_letters, {**wanted.model_dump(), "state": state})
    async with database.read() as connection:
        return await listed(connection, DeadLetterDTO, dead_letters, page, conditions)


async def get(database: Database, letter_id: int) -> DeadLetterDTO:
    """Return the dead letter, or raise RowNotFound."""
    async with database.read() as connection:
        row = await one_or_none(connection, dead_letters, dead_letters.c.id == letter_id)
    if row is None:
        raise RowNotFound("dead letter", letter_id)
    return to_contract(DeadLetterDTO, row)


async def request(database: Database, caller: Caller, letter_id: int, action: DeadLetterAction) -> DeadLetterDTO:
    """Write down that a dead letter is to be replayed or discarded; a repeat changes nothing.

    Refused when the other was asked for first.
    """
    async with database.write() as connection:
        query = sa.select(dead_letters).where(dead_letters.c.id == letter_id).with_for_update()
        row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise RowNotFound("dead letter", letter_id)
        state = DeadLetterState(row["state"])
        if not may_request(state, action):
            raise Refused(REFUSAL_CODE, f"dead letter {letter_id} is {state}")
        if is_settled(state, action):
            return to_contract(DeadLetterDTO, row)
        [asked] = await _ask(connection, caller, action, dead_letters.c.id == letter_id)
    return to_contract(DeadLetterDTO, asked)


async def replay_all(
    database: Database, caller: Caller, wanted: DeadLetterFilter, key: str | None
) -> DeadLettersRequested:
    """Write down that every open dead letter that matches is to be replayed; a repeat of the key answers the same."""
    conditions = matches(dead_letters, {**wanted.model_dump(), "state": DeadLetterState.OPEN})
    async with database.write() as connection:
        if key is not None:
            known = await first_answer(connection, caller, REPLAY_ROUTE, key, wanted)
            if known is not None:
                return DeadLettersRequested.model_validate_json(known)
        rows = await _ask(connection, caller, DeadLetterAction.REPLAY, *conditions)
        answer = DeadLettersRequested(count=len(rows))
        if key is not None:
            await keep_answer(connection, caller, REPLAY_ROUTE, key, answer.model_dump_json())
    return answer


async def _ask(
    connection: AsyncConnection, caller: Caller, action: DeadLetterAction, *conditions: sa.ColumnElement[bool]
) -> list[sa.RowMapping]:
    """Change the state of the rows that match, audit it, and leave the relay one instruction for each."""
    statement = (
        sa.update(dead_letters)
        .where(*conditions)
        .values(state=REQUESTED[action], outcome=None, updated_at=sa.func.clock_timestamp())
        .returning(dead_letters)
    )
    rows = list((await connection.execute(statement)).mappings().all())
    instruction: dict[str, Any] = {
        "ids": [row["id"] for row in rows],
        "kind": action.value,
        "owner_id": caller.owner_id,
        "actor_kind": caller.kind,
        "actor": caller.name,
        "action": f"dead_letter.{action.value}",
        "channel": CHANNEL,
    }
    if rows:
        await connection.execute(_INSTRUCT, instruction)
    return rows
