"""The relay carries out what operators ask for dead letters: once, also across a crash, and nobody else waits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from orchestrator_api.db.engine import Database
from orchestrator_api.db.tables import audit, dead_letters, outbox
from orchestrator_api.relay.relay import Relay
from orchestrator_api.repositories import dead_letters as rows
from orchestrator_api.tokens import Caller
from shared.contracts.dto.infrastructure import DeadLetterCreate, DeadLetterDTO, DeadLetterFilter
from shared.contracts.queues.events import DeadLetter, DeadLetterReason
from shared.contracts.topology import DEVELOPER_INPUT, ENGINEERING_QUEUE, RUN_EVENTS, Stream
from shared.contracts.vocabulary import DeadLetterAction, DeadLetterState
from shared.logging.redaction import MASK
from shared.redis.bus import Bus
from shared.redis.client import RedisStreamClient
from shared.redis.errors import BusUnavailable
from shared.testing import FakeBus
from shared.testing.factories import engineering_message

OPERATOR = Caller("service", "operator")
LETTERS = ENGINEERING_QUEUE.dead_letters
REPLAY, DISCARD = DeadLetterAction.REPLAY, DeadLetterAction.DISCARD


async def buried(database: Database, bus: Bus, task_id: str = "task-1") -> DeadLetterDTO:
    """Leave a dead letter in its stream and its row in the database, as consumer and scheduler do."""
    letter = DeadLetter(
        stream=ENGINEERING_QUEUE.name,
        group="langgraph",
        entry_id=f"{task_id}-1",
        reason=DeadLetterReason.PERMANENT_ERROR,
        error="no such task",
        attempts=1,
        service="langgraph",
        died_at=datetime.now(UTC),
        body=engineering_message(task_id).model_dump_json(),
    )
    await bus.ensure_group(ENGINEERING_QUEUE, "langgraph")
    letter_id = await bus.publish(LETTERS, letter)
    fields = letter.model_dump(exclude={"version", "correlation_id", "timestamp", "died_at", "body"})
    return await rows.record(database, DeadLetterCreate(**fields, body="redacted", letter_id=letter_id))


async def published(bus: Bus) -> list[str]:
    return [message.task_id for _, message in await bus.read(ENGINEERING_QUEUE)]


async def waiting(database: Database) -> int:
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


async def test_a_replay_publishes_the_untouched_body_once_and_removes_the_dead_letter(
    database: Database, relay: Relay, bus: RedisStreamClient
) -> None:
    letter = await buried(database, bus)
    for _ in range(2):
        await rows.request(database, OPERATOR, letter.id, REPLAY)
        await relay.drain_once()
    assert await published(bus) == ["task-1"]
    assert await bus.read(LETTERS) == []
    after = await rows.get(database, letter.id)
    [(entry_id, _)] = await bus.read(ENGINEERING_QUEUE)
    assert (after.state, after.outcome) == (DeadLetterState.REPLAYED, f"published again as {entry_id}")
    async with database.read() as connection:
        audited = (await connection.execute(sa.select(audit.c.actor, audit.c.action, audit.c.object))).all()
    assert [tuple(row) for row in audited] == [("operator", "dead_letter.replay", f"dead_letter:{letter.id}")]


async def test_a_discard_removes_the_dead_letter_and_publishes_nothing(
    database: Database, relay: Relay, bus: RedisStreamClient
) -> None:
    letter = await buried(database, bus)
    await rows.request(database, OPERATOR, letter.id, DISCARD)
    assert await relay.drain_once() == 1
    assert (await rows.get(database, letter.id)).state is DeadLetterState.DISCARDED
    assert (await published(bus), await bus.read(LETTERS)) == ([], [])


async def test_many_are_replayed_by_filter(database: Database, relay: Relay, bus: RedisStreamClient) -> None:
    letters = [await buried(database, bus, f"task-{number}") for number in range(40)]
    await rows.request(database, OPERATOR, letters[0].id, DISCARD)
    answer = await rows.replay_all(database, OPERATOR, DeadLetterFilter(reason="permanent_error"), None)
    assert answer.count == 39
    assert await relay.drain_once() == 40
    assert await published(bus) == [f"task-{number}" for number in range(1, 40)]
    assert await bus.read(LETTERS) == []


async def test_a_replay_whose_entry_is_gone_says_so_and_may_be_discarded(
    database: Database, relay: Relay, bus: RedisStreamClient
) -> None:
    letter = await buried(database, bus)
    assert letter.letter_id is not None
    await bus.remove(LETTERS, letter.letter_id)
    await rows.request(database, OPERATOR, letter.id, REPLAY)
    await relay.drain_once()
    after = await rows.get(database, letter.id)
    assert after.state is DeadLetterState.REPLAY_FAILED
    assert after.outcome is not None
    assert "no longer in engineering:queue:dlq" in after.outcome
    await rows.request(database, OPERATOR, letter.id, DISCARD)
    await relay.drain_once()
    assert (await rows.get(database, letter.id)).state is DeadLetterState.DISCARDED


@pytest.mark.parametrize(
    ("stream", "letter_id", "why"),
    [
        ("no:such:stream", "1-0", "no stream of this platform"),
        (ENGINEERING_QUEUE.name, None, "never in a dead letter stream"),
        (ENGINEERING_QUEUE.name, "no-id", "Invalid stream ID"),
    ],
)
async def test_what_cannot_be_replayed_is_marked_with_the_reason(
    database: Database, relay: Relay, stream: str, letter_id: str | None, why: str
) -> None:
    body = DeadLetterCreate(
        stream=stream, group="g", entry_id="1-1", reason="invalid", error="", attempts=1, service="s", body=""
    )
    letter = await rows.record(database, body.model_copy(update={"letter_id": letter_id}))
    await rows.request(database, OPERATOR, letter.id, REPLAY)
    await relay.drain_once()
    after = await rows.get(database, letter.id)
    assert after.state is DeadLetterState.REPLAY_FAILED
    assert after.outcome is not None
    assert why in after.outcome


async def test_a_message_for_a_worker_that_is_gone_is_not_published_into_the_void(
    database: Database, relay: Relay, bus: RedisStreamClient
) -> None:
    stream = DEVELOPER_INPUT.at("w1")
    letter = await buried(database, bus)
    assert letter.letter_id is not None
    found = await bus.entry(LETTERS, letter.letter_id)
    assert found is not None
    letter_id = await bus.publish(stream.dead_letters, found)
    fields = {**letter.model_dump(include=set(DeadLetterCreate.model_fields)), "stream": stream.name}
    lost = await rows.record(database, DeadLetterCreate(**{**fields, "letter_id": letter_id}))
    await rows.request(database, OPERATOR, lost.id, REPLAY)
    await relay.drain_once()
    assert (await rows.get(database, lost.id)).state is DeadLetterState.REPLAY_FAILED
    assert (await bus.stats(stream)).length == 0


class DiesAfter(FakeBus):
    """A bus whose caller ends right after one of its calls took effect."""

    dying = ""

    async def republish_raw(self, stream: Stream[Any], body: str) -> str | None:
        entry_id = await super().republish_raw(stream, body)
        self._die("republish")
        return entry_id

    async def remove(self, stream: Stream[Any], entry_id: str) -> bool:
        self._die("before remove")
        return await super().remove(stream, entry_id)

    def _die(self, where: str) -> None:
        if self.dying == where:
            self.dying = ""
            raise BusUnavailable


@pytest.mark.parametrize(("dying", "copies", "left"), [("republish", 2, 0), ("before remove", 1, 1)])
async def test_a_crash_costs_at_most_one_duplicate_and_loses_nothing(
    database: Database, database_url: str, dying: str, copies: int, left: int
) -> None:
    bus = DiesAfter()
    letter = await buried(database, bus)
    await rows.request(database, OPERATOR, letter.id, REPLAY)
    relay = Relay(database_url, bus)
    bus.dying = dying
    with pytest.raises(BusUnavailable):
        await relay.drain_once()
    await relay.drain_once()
    await relay.close()
    assert await published(bus) == ["task-1"] * copies
    assert len(await bus.read(LETTERS)) == left
    assert (await rows.get(database, letter.id)).state is DeadLetterState.REPLAYED
    assert await waiting(database) == 0


async def test_an_instruction_nobody_understands_holds_up_nobody_and_shows_no_secret(
    database: Database, relay: Relay, bus: RedisStreamClient
) -> None:
    letter = await buried(database, bus)
    broken = [("fly", "{}"), ("replay", "{"), ("publish", '{"token": "plain", "text": "ghs_0123456789abcdef0123"}')]
    async with database.write() as connection:
        for kind, body in broken:
            await connection.execute(sa.insert(outbox).values(kind=kind, stream=RUN_EVENTS.name, body=body))
    await rows.request(database, OPERATOR, letter.id, REPLAY)
    assert await relay.drain_once() == 4
    assert await published(bus) == ["task-1"]
    async with database.read() as connection:
        query = sa.select(dead_letters.c.body, dead_letters.c.error).where(dead_letters.c.group == "outbox")
        kept = (await connection.execute(query)).all()
    assert {row.body for row in kept} == {"{}", "{", f'{{"token": "{MASK}", "text": "{MASK}"}}'}
    assert not any("ghs_0123" in row.error or "plain" in row.error for row in kept)
