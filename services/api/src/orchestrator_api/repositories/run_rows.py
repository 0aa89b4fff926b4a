"""The run row under its lock, and the one way to append its events: rows, outbox and notification in one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator_api.db.tables import run_events, runs
from orchestrator_api.errors import Refused, RowNotFound
from orchestrator_api.repositories.rows import to_contract
from shared.contracts.base import BaseMessage
from shared.contracts.dto.work import RunDTO, RunEventDTO
from shared.contracts.queues.events import RunEvent, RunEventPayload
from shared.contracts.queues.work import DeployMessage, EngineeringMessage
from shared.contracts.run_machine import TERMINAL_STATES, RunState
from shared.contracts.topology import DEPLOY_QUEUE, ENGINEERING_QUEUE, RUN_EVENTS
from shared.contracts.vocabulary import RunEventType, TaskType, WaitingReason

CHANNEL = "outbox"

_APPEND = sa.text("""
    WITH written AS (
        INSERT INTO run_events (run_id, seq, owner_id, type, key, ts, payload)
        SELECT :run_id, e.seq, :owner_id, e.type, e.key, :ts, CAST(e.payload AS jsonb)
        FROM unnest(CAST(:seqs AS bigint[]), CAST(:types AS text[]), CAST(:keys AS text[]), CAST(:payloads AS text[]))
            AS e(seq, type, key, payload)
    ), queued AS (
        INSERT INTO outbox (run_id, owner_id, stream, body)
        SELECT :run_id, :owner_id, o.stream, o.body
        FROM unnest(CAST(:streams AS text[]), CAST(:bodies AS text[])) WITH ORDINALITY AS o(stream, body, place)
        ORDER BY o.place
    )
    SELECT pg_notify(:channel, :run_id)
""")


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to append. The key is what makes it repeatable; its prefix says whose key it is."""

    type: RunEventType
    payload: RunEventPayload
    key: str | None = None


def waiting(reason: WaitingReason) -> NewEvent:
    return NewEvent(RunEventType.WAITING, RunEventPayload(reason=reason))


def resumed(reason: str) -> NewEvent:
    return NewEvent(RunEventType.RESUMED, RunEventPayload(reason=reason))


def is_final(run: sa.RowMapping) -> bool:
    return RunState(run["state"]) in TERMINAL_STATES


def to_run(row: sa.RowMapping) -> RunDTO:
    return to_contract(RunDTO, row)


def stale(run_id: str, fence: int) -> Refused:
    return Refused("stale_fence", f"fence {fence} of run {run_id} is not the current lease")


def already_final(run: sa.RowMapping) -> Refused:
    return Refused("already_final", f"the run is {run['state']}")


async def locked(connection: AsyncConnection, run_id: str) -> sa.RowMapping:
    """Lock the run's row for this transaction and return it; RowNotFound otherwise."""
    query = sa.select(runs).where(runs.c.id == run_id).with_for_update(key_share=True)
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        raise RowNotFound("run", run_id)
    return row


async def known_keys(connection: AsyncConnection, run_id: str, keys: Sequence[str]) -> set[str]:
    """Return which of these event keys the run has; exact under the run's lock."""
    if not keys:
        return set()
    query = sa.select(run_events.c.key).where(run_events.c.run_id == run_id, run_events.c.key.in_(keys))
    return {str(key) for key in (await connection.execute(query)).scalars()}


async def write_run(
    connection: AsyncConnection, run: sa.RowMapping, news: Mapping[str, Any], event_count: int
) -> sa.RowMapping:
    """Update a locked run and take `event_count` seqs; return the row as it is now."""
    statement = (
        sa.update(runs)
        .where(runs.c.id == run["id"])
        .values(**news, last_seq=runs.c.last_seq + event_count, updated_at=sa.func.clock_timestamp())
        .returning(runs)
    )
    row: sa.RowMapping = (await connection.execute(statement)).mappings().one()
    return row


async def append(
    connection: AsyncConnection,
    run: sa.RowMapping,
    events: Sequence[NewEvent],
    *,
    wake: Sequence[sa.RowMapping] = (),
) -> list[RunEventDTO]:
    """Append events to a run whose `last_seq` already counts them; `wake` names runs to publish a hint for."""
    first = int(run["last_seq"]) - len(events) + 1
    now = datetime.now(UTC)
    rows = [
        RunEventDTO(run_id=run["id"], seq=first + place, type=event.type, ts=now, payload=event.payload)
        for place, event in enumerate(events)
    ]
    messages = [(RUN_EVENTS.name, _message(run, row)) for row in rows] + [_hint(other) for other in wake]
    await connection.execute(
        _APPEND,
        {
            "run_id": run["id"],
            "owner_id": run["owner_id"],
            "ts": now,
            "seqs": [row.seq for row in rows],
            "types": [row.type.value for row in rows],
            "keys": [event.key for event in events],
            "payloads": [row.payload.model_dump_json(exclude_none=True) for row in rows],
            "streams": [stream for stream, _ in messages],
            "bodies": [body for _, body in messages],
            "channel": CHANNEL,
        },
    )
    return rows


def _message(run: sa.RowMapping, event: RunEventDTO) -> str:
    return RunEvent(
        correlation_id=run["correlation_id"] or run["id"],
        timestamp=event.ts,
        run_id=run["id"],
        task_id=run["task_id"],
        project_id=run["project_id"],
        user_id=run["owner_id"],
        kind=run["kind"],
        seq=event.seq,
        type=event.type,
        payload=event.payload,
    ).model_dump_json()


def _hint(run: sa.RowMapping) -> tuple[str, str]:
    """Return the queue and the message that make the graphs look at a run."""
    kind = TaskType(run["kind"])
    model: type[EngineeringMessage | DeployMessage]
    model, stream = (
        (EngineeringMessage, ENGINEERING_QUEUE.name)
        if kind is TaskType.ENGINEERING
        else (DeployMessage, DEPLOY_QUEUE.name)
    )
    message: BaseMessage = model(
        correlation_id=run["correlation_id"] or run["id"],
        task_id=run["task_id"],
        project_id=run["project_id"],
        user_id=run["owner_id"],
    )
    return stream, message.model_dump_json()
