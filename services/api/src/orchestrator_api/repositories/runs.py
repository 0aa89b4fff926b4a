"""Runs: created once per key, read, listed, cancelled."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator_api.db.engine import Database
from orchestrator_api.db.tables import projects, runs, tasks
from orchestrator_api.errors import Refused, RowNotFound
from orchestrator_api.repositories.rows import Page, audited, listed, matches, one_or_none
from orchestrator_api.repositories.run_rows import (
    NewEvent,
    already_final,
    append,
    is_final,
    locked,
    to_run,
    waiting,
    write_run,
)
from orchestrator_api.repositories.tasks import FINAL
from orchestrator_api.tokens import Caller
from shared.contracts.base import new_id
from shared.contracts.dto.work import RunCreate, RunDTO
from shared.contracts.queues.events import RunEventPayload
from shared.contracts.run_machine import RunState
from shared.contracts.vocabulary import RunEventType, WaitingReason, WaitKind

ONE_PER_KEY = "uq_runs_task_id_key"


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are wanted; None does not filter. Due: nobody set a time, or it has passed."""

    task_id: str | None = None
    project_id: str | None = None
    owner_id: str | None = None
    is_final: bool | None = None
    wait_kind: WaitKind | None = None
    is_due: bool | None = None
    has_live_lease: bool | None = None

    def conditions(self, caller: Caller) -> list[sa.ColumnElement[bool]]:
        equal = {
            "task_id": self.task_id,
            "project_id": self.project_id,
            "owner_id": caller.owner_id or self.owner_id,
            "wait_kind": self.wait_kind,
        }
        now = sa.func.clock_timestamp()
        switches = (
            (self.is_final, runs.c.finished_at.is_not(None)),
            (self.is_due, sa.or_(runs.c.wake_at.is_(None), runs.c.wake_at <= now)),
            (self.has_live_lease, sa.func.coalesce(runs.c.lease_expires_at > now, sa.false())),
        )
        return matches(runs, equal) + [
            condition if wanted else sa.not_(condition) for wanted, condition in switches if wanted is not None
        ]


async def create(database: Database, body: RunCreate) -> RunDTO:
    """Insert run, first event and outbox row in one transaction; a repeat of the key returns the run that exists."""
    try:
        async with database.write() as connection:
            return await _insert(connection, body)
    except IntegrityError as error:
        if ONE_PER_KEY not in str(error.orig):
            raise
    async with database.read() as connection:
        row = await one_or_none(connection, runs, runs.c.task_id == body.task_id, runs.c.key == body.key)
    if row is None:
        raise RowNotFound("run", body.key)
    return to_run(row)


async def _insert(connection: AsyncConnection, body: RunCreate) -> RunDTO:
    """The project's row is locked, so that of two new runs exactly one finds the project free."""
    query = (
        sa.select(tasks)
        .join(projects, projects.c.id == tasks.c.project_id)
        .where(tasks.c.id == body.task_id)
        .with_for_update(of=projects, key_share=True)
    )
    task = (await connection.execute(query)).mappings().one_or_none()
    if task is None:
        raise RowNotFound("task", body.task_id)
    if task["status"] in FINAL:
        known = await one_or_none(connection, runs, runs.c.task_id == body.task_id, runs.c.key == body.key)
        if known is None:
            raise Refused("task_final", f"the task is {task['status']}")
        return to_run(known)
    rivals = sa.select(runs.c.id).where(
        runs.c.project_id == task["project_id"],
        runs.c.kind == task["type"],
        runs.c.finished_at.is_(None),
        sa.not_(sa.and_(runs.c.task_id == body.task_id, runs.c.key == body.key)),
    )
    is_busy = (await connection.execute(rivals.limit(1))).first() is not None
    events = [NewEvent(RunEventType.RUN_STARTED, RunEventPayload(state=RunState.QUEUED))]
    if is_busy:
        events.append(waiting(WaitingReason.PROJECT_BUSY))
    statement = sa.insert(runs).values(
        id=new_id(),
        task_id=task["id"],
        project_id=task["project_id"],
        owner_id=task["owner_id"],
        key=body.key,
        kind=task["type"],
        state=RunState.QUEUED,
        waiting_reason=WaitingReason.PROJECT_BUSY if is_busy else None,
        last_seq=len(events),
        correlation_id=task["correlation_id"],
    )
    row = (await connection.execute(statement.returning(runs))).mappings().one()
    await append(connection, row, events)
    return to_run(row)


async def get(database: Database, caller: Caller, run_id: str) -> RunDTO:
    """Return the run, or raise RowNotFound (also when it is somebody else's)."""
    async with database.read() as connection:
        row = await one_or_none(connection, runs, *matches(runs, {"id": run_id, "owner_id": caller.owner_id}))
    if row is None:
        raise RowNotFound("run", run_id)
    return to_run(row)


async def page(database: Database, caller: Caller, page: Page, wanted: RunFilter) -> tuple[list[RunDTO], int | None]:
    """Return one page of the runs the caller may see."""
    async with database.read() as connection:
        return await listed(connection, RunDTO, runs, page, wanted.conditions(caller))


async def cancel(database: Database, caller: Caller, run_id: str, reason: str) -> RunDTO:
    """Ask for the end of a run and wake whoever drives it; a repeat changes nothing."""
    async with database.write() as connection:
        run = await locked(connection, run_id)
        if caller.owner_id is not None and run["owner_id"] != caller.owner_id:
            raise RowNotFound("run", run_id)
        if run["state"] == RunState.CANCELLED or (run["cancel_requested"] and not is_final(run)):
            return to_run(run)
        if is_final(run):
            raise already_final(run)
        news = {"cancel_requested": True, "reason": reason, "wake_at": None}
        row = await write_run(connection, run, news, 0)
        await append(connection, row, [], wake=[row])
        await audited(connection, caller, "run.cancel", run_id, reason)
    return to_run(row)
