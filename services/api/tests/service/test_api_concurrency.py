"""Many callers at once: one run per key, seqs without gaps, one winner per state."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from orchestrator_api.db.engine import Database
from orchestrator_api.db.tables import outbox, run_events, runs
from shared.clients.api import ApiClient
from shared.clients.errors import Conflict
from shared.contracts.dto.work import RunCreate, RunEventAppend, TransitionRequest
from shared.contracts.queues.events import RunEvent, RunEventPayload
from shared.contracts.run_machine import RunEventName, RunState
from shared.contracts.vocabulary import RunEventType
from shared.testing.api_process import ApiServer
from shared.testing.api_scenes import claimed_run, new_run, new_task, step


@pytest.fixture
def rows(shared_database_url: str) -> Database:
    return Database(shared_database_url, pool_size=1, name="test")


async def count(rows: Database, table: sa.Table, condition: sa.ColumnElement[bool]) -> int:
    async with rows.read() as connection:
        query = sa.select(sa.func.count()).select_from(table).where(condition)
        return int((await connection.execute(query)).scalar_one())


async def test_a_hundred_identical_calls_make_one_run_one_event_one_outbox_row(api: ApiClient, rows: Database) -> None:
    task = await new_task(api)
    body = RunCreate(task_id=task.id, key="the-key")
    made = await asyncio.gather(*(api.create_run(body) for _ in range(100)))
    assert {run.id for run in made} == {made[0].id}
    assert await count(rows, runs, runs.c.task_id == task.id) == 1
    assert await count(rows, run_events, run_events.c.run_id == made[0].id) == 1
    assert await count(rows, outbox, outbox.c.run_id == made[0].id) == 1
    await rows.close()


async def test_twenty_appenders_leave_no_gap_and_the_outbox_has_the_same_order(api: ApiClient, rows: Database) -> None:
    run = await new_run(api)

    async def append(writer: int) -> None:
        for number in range(10):
            payload = RunEventPayload(message=f"{writer}:{number}")
            await api.append_events(run.id, [RunEventAppend(type=RunEventType.AGENT_MESSAGE, payload=payload)])

    await asyncio.gather(*(append(writer) for writer in range(20)))
    events = await api.list_events(run.id)
    assert [event.seq for event in events] == list(range(1, 202))
    for writer in range(20):
        mine = [event.payload.message for event in events if (event.payload.message or "").startswith(f"{writer}:")]
        assert mine == [f"{writer}:{number}" for number in range(10)]
    async with rows.read() as connection:
        query = sa.select(outbox.c.body).where(outbox.c.run_id == run.id).order_by(outbox.c.id)
        bodies = (await connection.execute(query)).scalars().all()
    assert [RunEvent.model_validate_json(body).seq for body in bodies] == list(range(1, 202))
    await rows.close()


async def test_of_rival_transitions_each_state_is_left_once(api: ApiClient) -> None:
    run = await claimed_run(api)
    requests = [
        TransitionRequest(event=RunEventName.START_PLANNING, fence=run.fence, key=f"rival-{number}")
        for number in range(20)
    ]
    outcomes = await asyncio.gather(*(api.transition(run.id, body) for body in requests), return_exceptions=True)
    refusals = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    assert len(refusals) == 19
    assert {refusal.api_code for refusal in refusals} == {"invalid_transition"}
    after = await api.get_run(run.id)
    assert (after.state, after.version, after.last_seq) == (RunState.PLANNING, 2, 2)


async def test_the_same_transition_repeated_at_once_is_applied_once(api: ApiClient) -> None:
    run = await step(api, await claimed_run(api), RunEventName.START_PLANNING, RunEventName.PLAN_SUCCEEDED)
    body = TransitionRequest(event=RunEventName.START_CODING, fence=run.fence, key="once")
    await asyncio.gather(*(api.transition(run.id, body) for _ in range(20)))
    assert (await api.get_run(run.id)).code_attempts == 1


async def test_opposite_outcomes_at_once_leave_one_winner_and_one_end(api: ApiClient) -> None:
    run = await claimed_run(api)
    outcomes = await asyncio.gather(
        *(
            api.transition(run.id, TransitionRequest(event=event, fence=run.fence, key=event))
            for event in (RunEventName.RUN_FAILED, RunEventName.MARK_CANCELLED)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 1
    ends = [event for event in await api.list_events(run.id) if event.type is RunEventType.RUN_FINISHED]
    assert len(ends) == 1


async def test_a_long_list_is_paged_and_the_client_returns_all_of_it(api: ApiClient, api_server: ApiServer) -> None:
    run = await new_run(api)
    batch = [RunEventAppend(type=RunEventType.DEBUG_TRACE) for _ in range(450)]
    await api.append_events(run.id, batch)
    assert len(await api.list_events(run.id, from_seq=2)) == 450
