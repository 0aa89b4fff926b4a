"""The relay: in order, at least once, one leader, and nothing lost whatever ends when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
import sqlalchemy as sa

from orchestrator_api.db.engine import Database
from orchestrator_api.db.tables import dead_letters, outbox
from orchestrator_api.relay.relay import Relay
from orchestrator_api.repositories import projects, run_leases, run_log, run_transitions, runs, tasks
from orchestrator_api.tokens import Caller
from shared.clients.api import ApiClient
from shared.contracts.base import new_id
from shared.contracts.dto.work import (
    ProjectCreate,
    RunClaim,
    RunCreate,
    RunDTO,
    RunEventAppend,
    TaskCreate,
    TransitionRequest,
)
from shared.contracts.queues.events import RunEvent, RunEventPayload
from shared.contracts.run_machine import RunEventName
from shared.contracts.topology import ENGINEERING_QUEUE, RUN_EVENTS, TASK_PROGRESS, M, Stream
from shared.contracts.vocabulary import RunEventType, TaskType
from shared.redis.client import RedisStreamClient
from shared.redis.errors import BusUnavailable
from shared.testing import FakeBus
from shared.testing.api_process import running_api, running_relay
from shared.testing.api_scenes import claimed_run, step
from shared.testing.redis_server import running_redis
from shared.testing.waiting import eventually
from shared.testing.waits import await_outbox_flush, await_stream_completion

ROOT = Caller("service", "test")


async def make_run(database: Database) -> RunDTO:
    project = await projects.create(database, ROOT, ProjectCreate(name=f"p-{new_id()[:8]}", owner_id="u1"), None)
    body = TaskCreate(project_id=project.id, type=TaskType.ENGINEERING, title="x")
    task = await tasks.create(database, ROOT, body, None)
    return await runs.create(database, RunCreate(task_id=task.id, key="k"))


async def say(database: Database, run: RunDTO, *texts: str) -> None:
    payloads = [RunEventPayload(message=text) for text in texts]
    events = [RunEventAppend(type=RunEventType.AGENT_MESSAGE, payload=payload) for payload in payloads]
    await run_log.append_events(database, run.id, events, None)


async def unpublished(database: Database) -> int:
    async with database.read() as connection:
        query = sa.select(sa.func.count()).select_from(outbox).where(outbox.c.published_at.is_(None))
        return int((await connection.execute(query)).scalar_one())


@pytest.fixture
async def relay(database_url: str, bus: RedisStreamClient) -> AsyncIterator[Relay]:
    relay = Relay(database_url, bus, batch=10, poll_seconds=0.05)
    try:
        yield relay
    finally:
        await relay.stop()


async def test_events_arrive_in_order_with_the_progress_of_their_task(
    database: Database, relay: Relay, bus: RedisStreamClient
) -> None:
    run = await make_run(database)
    await say(database, run, *(str(number) for number in range(25)))
    assert await relay.drain_once() == 26
    assert await relay.drain_once() == 0
    events = [event for _, event in await bus.read(RUN_EVENTS)]
    assert [event.seq for event in events] == list(range(1, 27))
    assert {(event.task_id, event.user_id) for event in events} == {(run.task_id, "u1")}
    progress = [event for _, event in await bus.read(TASK_PROGRESS.at(run.task_id))]
    assert [event.message for event in progress] == ["QUEUED", *(str(number) for number in range(25))]
    assert progress[0].type == "started"


async def test_one_run_can_be_drained_alone(database: Database, relay: Relay, bus: RedisStreamClient) -> None:
    first, second = await make_run(database), await make_run(database)
    assert await relay.drain_run(second.id) == 1
    assert [event.run_id for _, event in await bus.read(RUN_EVENTS)] == [second.id]
    assert await relay.drain_once() == 1
    assert [event.run_id for _, event in await bus.read(RUN_EVENTS)] == [second.id, first.id]


class DiesAfterPublishing(FakeBus):
    """A bus whose caller ends between the answer of Redis and the mark in the database."""

    is_dying = True

    async def publish(self, stream: Stream[M], message: M) -> str:
        entry_id = await super().publish(stream, message)
        if self.is_dying:
            raise BusUnavailable
        return entry_id

    async def publish_many(self, stream: Stream[M], messages: Sequence[M]) -> list[str]:
        entry_ids = await super().publish_many(stream, messages)
        if self.is_dying:
            raise BusUnavailable
        return entry_ids


async def test_a_crash_between_publish_and_mark_repeats_and_loses_nothing(
    database: Database, database_url: str
) -> None:
    run = await make_run(database)
    await say(database, run, "one", "two")
    bus = DiesAfterPublishing()
    relay = Relay(database_url, bus)
    with pytest.raises(BusUnavailable):
        await relay.drain_once()
    assert await unpublished(database) == 3
    bus.is_dying = False
    assert await relay.drain_once() == 3
    await relay.close()
    seqs = [event.seq for _, event in await bus.read(RUN_EVENTS)]
    assert seqs == [1, 2, 3, 1, 2, 3]


async def test_a_row_that_cannot_be_read_holds_up_nobody(
    database: Database, relay: Relay, bus: RedisStreamClient
) -> None:
    async with database.write() as connection:
        await connection.execute(sa.insert(outbox).values(stream=RUN_EVENTS.name, body="{"))
        await connection.execute(sa.insert(outbox).values(stream="no:such:stream", body="{}"))
    await make_run(database)
    assert await relay.drain_once() == 3
    assert len(await bus.read(RUN_EVENTS)) == 1
    async with database.read() as connection:
        letters = (await connection.execute(sa.select(dead_letters.c.stream, dead_letters.c.body))).all()
    assert [tuple(letter) for letter in letters] == [(RUN_EVENTS.name, "{"), ("no:such:stream", "{}")]


async def test_a_commit_wakes_the_relay_long_before_its_poll(
    database: Database, database_url: str, bus: RedisStreamClient
) -> None:
    relay = Relay(database_url, bus, poll_seconds=60)
    await relay.start()
    await eventually(lambda: relay.is_leader)
    run = await make_run(database)

    async def is_published() -> bool:
        return [event.run_id for _, event in await bus.read(RUN_EVENTS)] == [run.id]

    await eventually(is_published, 5)
    await relay.stop()


async def test_of_two_relays_one_leads_and_the_other_takes_over(
    database: Database, database_url: str, bus: RedisStreamClient
) -> None:
    first, second = (Relay(database_url, bus, poll_seconds=0.05) for _ in range(2))
    await first.start()
    await eventually(lambda: first.is_leader)
    await second.start()
    run = await make_run(database)
    await eventually(lambda: drained(database))
    assert not second.is_leader
    await first.stop()
    await eventually(lambda: second.is_leader)
    await say(database, run, "after")
    await eventually(lambda: drained(database))
    await second.stop()
    assert [event.seq for _, event in await bus.read(RUN_EVENTS)] == [1, 2]


async def drained(database: Database) -> bool:
    return await unpublished(database) == 0


async def test_two_drains_at_once_publish_each_row_once_and_in_order(
    database: Database, database_url: str, bus: RedisStreamClient
) -> None:
    run = await make_run(database)
    await say(database, run, *(str(number) for number in range(200)))
    relays = [Relay(database_url, bus, batch=7) for _ in range(3)]
    counts = await asyncio.gather(*(relay.drain_once() for relay in relays))
    await asyncio.gather(*(relay.close() for relay in relays))
    assert sum(counts) == 201
    assert [event.seq for _, event in await bus.read(RUN_EVENTS)] == list(range(1, 202))


async def test_an_outage_of_redis_is_waited_out(database: Database, database_url: str) -> None:
    async with running_redis() as redis:
        bus = RedisStreamClient(url=redis.url, service="test")
        relay = Relay(database_url, bus, poll_seconds=0.05)
        await relay.start()
        await eventually(lambda: relay.is_leader)
        await redis.kill()
        run = await make_run(database)
        await say(database, run, "while away")
        await redis.start()
        await eventually(lambda: drained(database), 20)
        assert {event.seq for _, event in await bus.read(RUN_EVENTS)} == {1, 2}
        await relay.stop()
        await bus.close()


async def test_a_cancelled_run_wakes_its_queue_and_so_does_the_end_of_the_one_before(
    database: Database, relay: Relay, bus: RedisStreamClient
) -> None:
    run = await make_run(database)
    second_task = await tasks.create(
        database, ROOT, TaskCreate(project_id=run.project_id, type=TaskType.ENGINEERING, title="next"), None
    )
    second = await runs.create(database, RunCreate(task_id=second_task.id, key="k"))
    await runs.cancel(database, ROOT, run.id, "enough")
    await runs.cancel(database, ROOT, run.id, "enough")
    claimed = await run_leases.claim(database, run.id, RunClaim(owner="driver"))
    body = TransitionRequest(event=RunEventName.MARK_CANCELLED, fence=claimed.fence, key="end")
    await run_transitions.transition(database, run.id, body)
    await relay.drain_once()
    hints = [message.task_id for _, message in await bus.read(ENGINEERING_QUEUE)]
    assert hints == [run.task_id, second.task_id]


async def test_the_processes_work_together_across_a_kill_of_the_relay(
    database_url: str, redis_url: str, bus: RedisStreamClient
) -> None:
    async with running_api(database_url, is_migrated=True) as process, running_relay(database_url, redis_url) as relay:
        async with ApiClient(process.base_url, process.service_token()) as api:
            run = await step(api, await claimed_run(api), RunEventName.START_PLANNING)
            assert [event.seq for event in await await_outbox_flush(api, bus, run.id)] == [1, 2]
            await relay.kill()
            run = await step(api, run, RunEventName.PLAN_SUCCEEDED, RunEventName.RUN_FAILED)
            await relay.start()
            events: list[RunEvent] = await await_stream_completion(bus, run.id)
    assert [event.seq for event in events] == [1, 2, 3, 4, 5]
    assert events[-1].type is RunEventType.RUN_FINISHED
