"""What is recorded under a run besides its state: events of the graphs and evidence."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from orchestrator_api.db.engine import Database
from orchestrator_api.db.tables import evidence, run_events, runs
from orchestrator_api.errors import RowNotFound
from orchestrator_api.repositories.rows import one_or_none, to_contract
from orchestrator_api.repositories.run_rows import NewEvent, append, is_final, known_keys, locked, write_run
from orchestrator_api.tokens import Caller
from shared.contracts.dto.work import EvidenceCreate, EvidenceDTO, RunEventAppend, RunEventDTO


async def append_events(
    database: Database, run_id: str, given: list[RunEventAppend], request_key: str | None
) -> list[RunEventDTO]:
    """Append the events whose key is new and return those; on a finished run none, as RunFinished stays the last.

    An event without a key takes one from the request's idempotency key, so that a repeated request appends nothing.
    """
    keyed = [NewEvent(event.type, event.payload, _key(event, request_key, place)) for place, event in enumerate(given)]
    async with database.write() as connection:
        run = await locked(connection, run_id)
        if is_final(run):
            return []
        seen = await known_keys(connection, run_id, [event.key for event in keyed if event.key is not None])
        fresh: list[NewEvent] = []
        for event in keyed:
            if event.key is not None:
                if event.key in seen:
                    continue
                seen.add(event.key)
            fresh.append(event)
        if not fresh:
            return []
        row = await write_run(connection, run, {}, len(fresh))
        return await append(connection, row, fresh)


def _key(event: RunEventAppend, request_key: str | None, place: int) -> str | None:
    if event.key is not None:
        return f"event:{event.key}"
    return None if request_key is None else f"request:{request_key}:{place}"


async def events(database: Database, run_id: str, from_seq: int, limit: int) -> tuple[list[RunEventDTO], int | None]:
    """Return events from a seq on, and the seq of the next page if this one is full."""
    query = (
        sa.select(run_events)
        .where(run_events.c.run_id == run_id, run_events.c.seq >= from_seq)
        .order_by(run_events.c.seq)
        .limit(limit)
    )
    async with database.read() as connection:
        rows = (await connection.execute(query)).mappings().all()
    following = int(rows[-1]["seq"]) + 1 if len(rows) == limit else None
    return [to_contract(RunEventDTO, row) for row in rows], following


async def add_evidence(database: Database, run_id: str, body: EvidenceCreate) -> EvidenceDTO:
    """Record a fact; the same kind and sha again replaces what was known of it."""
    async with database.write() as connection:
        run = await one_or_none(connection, runs, runs.c.id == run_id)
        if run is None:
            raise RowNotFound("run", run_id)
        statement = insert(evidence).values(**body.model_dump(), run_id=run_id, owner_id=run["owner_id"])
        statement = statement.on_conflict_do_update(
            index_elements=[evidence.c.run_id, evidence.c.kind, sa.text("coalesce(sha, '')")],
            set_={
                **{name: statement.excluded[name] for name in ("conclusion", "url", "detail")},
                "updated_at": sa.func.clock_timestamp(),
            },
        )
        row = (await connection.execute(statement.returning(evidence))).mappings().one()
    return to_contract(EvidenceDTO, row)


async def evidence_of(database: Database, caller: Caller, run_id: str) -> list[EvidenceDTO]:
    """Return the evidence of a run, the latest last."""
    query = sa.select(evidence).where(evidence.c.run_id == run_id).order_by(evidence.c.updated_at, evidence.c.id)
    if caller.owner_id is not None:
        query = query.where(evidence.c.owner_id == caller.owner_id)
    async with database.read() as connection:
        return [to_contract(EvidenceDTO, row) for row in (await connection.execute(query)).mappings()]
