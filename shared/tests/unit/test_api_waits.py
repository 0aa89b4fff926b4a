"""The wait helpers end with what they wait for, or say what they saw last."""

from __future__ import annotations

import asyncio

import pytest

from shared.contracts.dto.work import RunDTO
from shared.contracts.queues.events import RunEvent
from shared.contracts.run_machine import RunEventName, RunState
from shared.contracts.topology import RUN_EVENTS
from shared.testing import FakeApi, FakeBus
from shared.testing.api_scenes import claimed_run, step
from shared.testing.waits import (
    DeadlinePassed,
    await_outbox_flush,
    await_stream_completion,
    wait_for_run_completion,
)


async def publish(api: FakeApi, bus: FakeBus, run: RunDTO, *, from_seq: int = 1) -> None:
    for event in await api.list_events(run.id, from_seq=from_seq):
        message = RunEvent(
            run_id=run.id,
            task_id=run.task_id,
            project_id=run.project_id,
            user_id=run.owner_id,
            kind=run.kind,
            seq=event.seq,
            type=event.type,
            payload=event.payload,
        )
        await bus.publish(RUN_EVENTS, message)


async def test_a_wait_ends_with_the_run() -> None:
    api = FakeApi()
    run = await claimed_run(api)
    waiting = asyncio.create_task(wait_for_run_completion(api, run.id, 5))
    await step(api, run, RunEventName.RUN_FAILED)
    assert (await waiting).state is RunState.FAILED


async def test_a_deadline_says_where_the_run_stands() -> None:
    api = FakeApi()
    run = await claimed_run(api)
    with pytest.raises(DeadlinePassed, match=r"QUEUED.*last seq 1.*lease of driver"):
        await wait_for_run_completion(api, run.id, 0.02)


async def test_the_stream_is_complete_with_its_last_event_and_without_repeats() -> None:
    api, bus = FakeApi(), FakeBus()
    run = await claimed_run(api)
    await publish(api, bus, run)
    run = await step(api, run, RunEventName.RUN_FAILED)
    waiting = asyncio.create_task(await_stream_completion(bus, run.id, 5))
    await publish(api, bus, run)
    assert [event.seq for event in await waiting] == [1, 2, 3]


async def test_a_flush_needs_everything_there_is_now() -> None:
    api, bus = FakeApi(), FakeBus()
    run = await step(api, await claimed_run(api), RunEventName.START_PLANNING)
    waiting = asyncio.create_task(await_outbox_flush(api, bus, run.id, 5))
    await publish(api, bus, run)
    assert len(await waiting) == 2
    other = await claimed_run(api)
    with pytest.raises(DeadlinePassed, match=r"seq 1 .*no event of it"):
        await await_outbox_flush(api, bus, other.id, 0.02)
