"""One row of the state machine in one transaction: lock, checks, state, events, outbox, task and project."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator_api.db.engine import Database
from orchestrator_api.db.tables import evidence, projects, runs, tasks
from orchestrator_api.errors import Refused
from orchestrator_api.repositories.rows import to_contract
from orchestrator_api.repositories.run_leases import NO_LEASE
from orchestrator_api.repositories.run_rows import (
    NewEvent,
    already_final,
    append,
    is_final,
    known_keys,
    locked,
    resumed,
    stale,
    to_run,
    write_run,
)
from orchestrator_api.repositories.tasks import FINAL
from shared.contracts.dto.work import EvidenceDTO, RunDTO, RunFacts, TransitionRequest
from shared.contracts.queues.events import RunEventPayload
from shared.contracts.run_machine import TERMINAL_STATES, JobStateError, RunEventName, RunState, get_next_state
from shared.contracts.run_policy import (
    ProjectFacts,
    code_attempts_after,
    missing_evidence,
    project_status_in,
    review_rounds_after,
    task_status_in,
)
from shared.contracts.vocabulary import RunEventType, TaskType

NOT_WAITING: dict[str, Any] = dict.fromkeys(("waiting_reason", "waiting_until", "wait_kind", "wait_key", "wake_at"))
_NEED_EVIDENCE = frozenset({RunEventName.MARK_COMPLETED, RunEventName.SMOKE_PASSED})


async def transition(database: Database, run_id: str, body: TransitionRequest) -> RunDTO:
    """Apply one event. The same key answers the run as it is; the first terminal outcome wins."""
    async with database.write() as connection:
        run = await locked(connection, run_id)
        key = f"transition:{body.key}"
        if await known_keys(connection, run_id, [key]):
            return to_run(run)
        if is_final(run):
            if run["last_event"] == body.event:
                return to_run(run)
            raise already_final(run)
        if run["fence"] != body.fence:
            raise stale(run_id, body.fence)
        state = _next_state(run, body.event)
        if body.event in _NEED_EVIDENCE:
            await _check_evidence(connection, run_id, body.event)
        return to_run(await _enter(connection, run, state, body, key))


def _next_state(run: sa.RowMapping, event: RunEventName) -> RunState:
    try:
        return get_next_state(RunState(run["state"]), event, TaskType(run["kind"]))
    except JobStateError as error:
        raise Refused(error.code, str(error)) from error


async def _check_evidence(connection: AsyncConnection, run_id: str, event: RunEventName) -> None:
    query = sa.select(evidence).where(evidence.c.run_id == run_id).order_by(evidence.c.updated_at, evidence.c.id)
    rows = [to_contract(EvidenceDTO, row) for row in (await connection.execute(query)).mappings()]
    if missing := missing_evidence(event, rows):
        raise Refused("evidence_missing", "not seen yet: " + ", ".join(missing))


async def _enter(
    connection: AsyncConnection, run: sa.RowMapping, state: RunState, body: TransitionRequest, key: str
) -> sa.RowMapping:
    facts = RunFacts.model_validate(run["facts"], extra="ignore").model_copy(
        update=body.facts.model_dump(exclude_none=True)
    )
    ends = state in TERMINAL_STATES
    news: dict[str, Any] = {
        **NOT_WAITING,
        "state": state,
        "version": runs.c.version + 1,
        "facts": facts.model_dump(mode="json", exclude_none=True),
        "code_attempts": code_attempts_after(body.event, run["code_attempts"]),
        "review_rounds": review_rounds_after(body.event, run["review_rounds"]),
        "last_event": body.event,
    }
    if ends:
        news |= {**NO_LEASE, "reason": body.reason or run["reason"], "finished_at": sa.func.clock_timestamp()}
    events = _events(run, state, facts, body, key)
    row = await write_run(connection, run, news, len(events))
    following = await _following(connection, row) if ends else []
    await append(connection, row, events, wake=following)
    await _derive(connection, row, facts)
    return row


def _events(run: sa.RowMapping, state: RunState, facts: RunFacts, body: TransitionRequest, key: str) -> list[NewEvent]:
    events = [] if run["waiting_reason"] is None else [resumed(run["waiting_reason"])]
    payload = RunEventPayload(
        state=state,
        previous_state=RunState(run["state"]),
        event=body.event,
        message=body.message,
        reason=body.reason,
        pr_number=facts.pr_number,
        sha=facts.head_sha,
        attempt=code_attempts_after(body.event, run["code_attempts"]),
    )
    events.append(NewEvent(RunEventType.STATE_CHANGED, payload, key))
    if state in TERMINAL_STATES:
        end = RunEventPayload(
            state=state,
            reason=body.reason or run["reason"],
            url=facts.deployed_url or facts.pr_url,
            sha=facts.merge_sha or facts.head_sha,
        )
        events.append(NewEvent(RunEventType.RUN_FINISHED, end))
    return events


async def _following(connection: AsyncConnection, run: sa.RowMapping) -> list[sa.RowMapping]:
    """Make the project's next run due, if one waits for this one."""
    query = (
        sa.select(runs.c.id)
        .where(
            runs.c.project_id == run["project_id"],
            runs.c.kind == run["kind"],
            runs.c.finished_at.is_(None),
            runs.c.id != run["id"],
        )
        .order_by(runs.c.number)
        .limit(1)
    )
    following = (await connection.execute(query)).scalar_one_or_none()
    if following is None:
        return []
    statement = sa.update(runs).where(runs.c.id == following).values(wake_at=None).returning(runs)
    return list((await connection.execute(statement)).mappings())


async def _derive(connection: AsyncConnection, run: sa.RowMapping, facts: RunFacts) -> None:
    """Set what follows for the task and the project."""
    state = RunState(run["state"])
    now = sa.func.clock_timestamp()
    await connection.execute(
        sa.update(tasks)
        .where(tasks.c.id == run["task_id"], tasks.c.status.not_in(FINAL), tasks.c.status != task_status_in(state))
        .values(status=task_status_in(state), updated_at=now)
    )
    known = ProjectFacts(None, None)
    if state in TERMINAL_STATES:
        query = sa.select(projects.c.deployed_url, projects.c.repo_full_name).where(projects.c.id == run["project_id"])
        known = ProjectFacts(*(await connection.execute(query)).one())
    news: dict[str, Any] = {}
    if state is RunState.COMPLETED and facts.deployed_url:
        news["deployed_url"] = facts.deployed_url
        if facts.head_sha:
            news["deployed_sha"] = facts.head_sha
    if (status := project_status_in(TaskType(run["kind"]), state, known)) is not None:
        news["status"] = status
    if news:
        is_news = sa.or_(*(projects.c[name].is_distinct_from(value) for name, value in news.items()))
        mine = projects.c.id == run["project_id"]
        await connection.execute(sa.update(projects).where(mine, is_news).values(**news, updated_at=now))
