"""What operators look at: workers as reported, incidents."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from orchestrator_api.db.engine import Database
from orchestrator_api.db.tables import incidents, workers
from orchestrator_api.errors import RowNotFound
from orchestrator_api.repositories.rows import Page, inserted, listed, matches, one_or_none, to_contract, updated
from shared.contracts.dto.infrastructure import (
    IncidentCreate,
    IncidentDTO,
    WorkerDTO,
    WorkerReport,
)
from shared.contracts.vocabulary import IncidentStatus


async def report_worker(database: Database, body: WorkerReport) -> WorkerDTO:
    """Store the newest report of a worker under its id."""
    values = {**body.model_dump(mode="json"), "owner_id": body.user_id}
    statement = insert(workers).values(**values)
    news = {name: statement.excluded[name] for name in values if name != "id"}
    statement = statement.on_conflict_do_update(
        index_elements=[workers.c.id], set_={**news, "updated_at": sa.func.clock_timestamp()}
    )
    async with database.read() as connection:
        row = (await connection.execute(statement.returning(workers))).mappings().one()
    return to_contract(WorkerDTO, row)


async def page_of_workers(database: Database, page: Page) -> tuple[list[WorkerDTO], int | None]:
    """Return one page of workers."""
    async with database.read() as connection:
        return await listed(connection, WorkerDTO, workers, page, [])


async def open_incident(database: Database, body: IncidentCreate) -> IncidentDTO:
    """Open an incident, or return the one that is open under its key."""
    is_open = matches(incidents, {"key": body.key, "status": IncidentStatus.OPEN})
    async with database.read() as connection:
        row = await inserted(connection, incidents, {**body.model_dump(mode="json"), "status": IncidentStatus.OPEN})
        if row is None:
            row = await one_or_none(connection, incidents, *is_open)
    if row is None:  # resolved in between
        raise RowNotFound("incident", body.key)
    return to_contract(IncidentDTO, row)


async def resolve_incident(database: Database, key: str) -> None:
    """Resolve what is open under a key; nothing open is fine."""
    is_open = matches(incidents, {"key": key, "status": IncidentStatus.OPEN})
    async with database.read() as connection:
        await updated(connection, incidents, {"status": IncidentStatus.RESOLVED}, *is_open)


async def page_of_incidents(
    database: Database, page: Page, *, status: IncidentStatus | None
) -> tuple[list[IncidentDTO], int | None]:
    """Return one page of incidents."""
    async with database.read() as connection:
        return await listed(connection, IncidentDTO, incidents, page, matches(incidents, {"status": status}))
