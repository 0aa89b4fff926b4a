"""Who drives a run: claim, renew, release. Each claim raises the fence, so that a late writer is refused."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator_api.db.engine import Database
from orchestrator_api.db.tables import runs
from orchestrator_api.errors import ApiProblem, Refused, RowNotFound
from orchestrator_api.repositories.rows import one_or_none
from orchestrator_api.repositories.run_rows import (
    already_final,
    append,
    is_final,
    locked,
    resumed,
    stale,
    to_run,
    waiting,
    write_run,
)
from shared.contracts.dto.work import RunClaim, RunDTO, RunRelease, RunRenew

NO_LEASE: dict[str, Any] = {"lease_owner": None, "lease_expires_at": None}


def _expiry(ttl_seconds: float) -> sa.ColumnElement[Any]:
    return sa.func.clock_timestamp() + sa.func.make_interval(0, 0, 0, 0, 0, 0, ttl_seconds)


def _has_older_rival() -> sa.ColumnElement[bool]:
    """One run of a kind at a time works on a project: the oldest that is not finished."""
    other = runs.alias("other")
    return sa.exists().where(
        other.c.project_id == runs.c.project_id,
        other.c.kind == runs.c.kind,
        other.c.number < runs.c.number,
        other.c.finished_at.is_(None),
    )


async def claim(database: Database, run_id: str, body: RunClaim) -> RunDTO:
    """Take the lease in one guarded statement; what the run waits for stays as information."""
    is_free = sa.or_(
        runs.c.lease_owner.is_(None),
        runs.c.lease_owner == body.owner,
        runs.c.lease_expires_at <= sa.func.clock_timestamp(),
    )
    statement = (
        sa.update(runs)
        .where(runs.c.id == run_id, runs.c.finished_at.is_(None), is_free)
        .where(sa.or_(runs.c.cancel_requested, sa.not_(_has_older_rival())))
        .values(
            lease_owner=body.owner,
            lease_expires_at=_expiry(body.ttl_seconds),
            fence=runs.c.fence + 1,
            updated_at=sa.func.clock_timestamp(),
        )
        .returning(runs)
    )
    async with database.read() as connection:
        row = (await connection.execute(statement)).mappings().one_or_none()
        if row is None:
            raise await _why_not_claimed(connection, run_id, body.owner)
    return to_run(row)


async def _why_not_claimed(connection: AsyncConnection, run_id: str, owner: str) -> ApiProblem:
    is_live = sa.func.coalesce(runs.c.lease_expires_at > sa.func.clock_timestamp(), sa.false())
    query = sa.select(runs, is_live.label("is_live")).where(runs.c.id == run_id)
    run = (await connection.execute(query)).mappings().one_or_none()
    if run is None:
        return RowNotFound("run", run_id)
    if is_final(run):
        return already_final(run)
    if run["is_live"] and run["lease_owner"] != owner:
        return Refused("lease_held", f"{run['lease_owner']} holds the run")
    return Refused("project_busy", "an older run of the project is not finished")


async def renew(database: Database, run_id: str, body: RunRenew) -> RunDTO:
    """Extend the lease of its owner; a finished run is returned as it is."""
    statement = (
        sa.update(runs)
        .where(runs.c.id == run_id, runs.c.fence == body.fence, runs.c.lease_owner == body.owner)
        .values(lease_expires_at=_expiry(body.ttl_seconds), updated_at=sa.func.clock_timestamp())
        .returning(runs)
    )
    async with database.read() as connection:
        row = (await connection.execute(statement)).mappings().one_or_none()
        if row is None:
            row = await one_or_none(connection, runs, runs.c.id == run_id)
            if row is None:
                raise RowNotFound("run", run_id)
            if row["fence"] != body.fence or not is_final(row):
                raise stale(run_id, body.fence)
    return to_run(row)


async def release(database: Database, run_id: str, body: RunRelease) -> RunDTO:
    """Hand the run back with what it waits for; tell observers when a reason to wait begins or ends."""
    async with database.write() as connection:
        run = await locked(connection, run_id)
        if run["fence"] != body.fence or run["lease_owner"] not in (None, body.owner):
            raise stale(run_id, body.fence)
        if run["lease_owner"] is None:
            return to_run(run)
        news = {**NO_LEASE, **body.model_dump(exclude={"owner", "fence"})}
        if run["cancel_requested"]:
            news["wake_at"] = None
        events = []
        if body.waiting_reason is not None and body.waiting_reason != run["waiting_reason"]:
            events.append(waiting(body.waiting_reason))
        if body.waiting_reason is None and run["waiting_reason"] is not None:
            events.append(resumed(run["waiting_reason"]))
        row = await write_run(connection, run, news, len(events))
        if events:
            await append(connection, row, events)
    return to_run(row)
