"""Dead letters become rows, redacted, once; old ones leave their streams."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator_scheduler.jobs.dead_letters import MAX_BODY, RETENTION, DeadLetters
from shared.clients.errors import Unavailable
from shared.contracts.dto.infrastructure import DeadLetterCreate, DeadLetterDTO, WorkerReport
from shared.contracts.queues.events import DeadLetter, DeadLetterReason
from shared.contracts.topology import DEVELOPER_INPUT, ENGINEERING_QUEUE, PO_INPUT, PO_OUTPUT, TOPOLOGY, Stream
from shared.contracts.vocabulary import AgentType, DeadLetterState, WorkerStatus, WorkerType
from shared.logging.redaction import MASK
from shared.testing.api import FakeApi
from shared.testing.bus import FakeRedisStreamClient
from shared.testing.clock import FakeClock

LETTERS = ENGINEERING_QUEUE.dead_letters


@dataclass
class World:
    clock: FakeClock
    api: FakeApi
    bus: FakeRedisStreamClient
    letters: DeadLetters

    async def bury(self, stream: Stream[Any] = ENGINEERING_QUEUE, body: str = "{}", error: str = "no") -> str:
        letter = DeadLetter(
            stream=stream.name,
            group="langgraph",
            entry_id=f"{len(await self.bus.read(stream.dead_letters))}-9",
            reason=DeadLetterReason.PERMANENT_ERROR,
            error=error,
            attempts=1,
            service="langgraph",
            died_at=datetime.now(UTC),
            body=body,
        )
        return await self.bus.publish(stream.dead_letters, letter)

    async def worker(self, worker_id: str, kind: WorkerType, status: WorkerStatus = WorkerStatus.RUNNING) -> None:
        report = WorkerReport(id=worker_id, worker_type=kind, agent_type=AgentType.MOCK, status=status)
        await self.api.report_worker(report)


class AwayApi(FakeApi):
    """An api that can be away."""

    is_away = False

    async def record_dead_letter(self, body: DeadLetterCreate) -> DeadLetterDTO:
        if self.is_away:
            raise Unavailable("no answer")
        return await super().record_dead_letter(body)


@pytest.fixture
def world() -> World:
    clock = FakeClock(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=30))
    api, bus = AwayApi(clock), FakeRedisStreamClient()
    return World(clock, api, bus, DeadLetters(api, bus, clock))


async def test_a_dead_letter_becomes_one_open_row_that_names_its_entry(world: World) -> None:
    entry_id = await world.bury(body='{"task_id": "t1"}')
    for _ in range(2):
        await world.letters.copy()
    [row] = await world.api.list_dead_letters()
    assert (row.stream, row.group, row.entry_id, row.reason) == (
        "engineering:queue",
        "langgraph",
        "0-9",
        "permanent_error",
    )
    assert (row.letter_id, row.body, row.state) == (entry_id, '{"task_id": "t1"}', DeadLetterState.OPEN)
    assert (await world.bus.stats(LETTERS)).groups["scheduler"].pending == 0


async def test_secrets_stay_in_the_stream(world: World) -> None:
    body = '{"text": "use ghs_0123456789abcdef0123", "attempt_token": "plain"}'
    await world.bury(body=body, error="refused sk-ant-0123456789")
    await world.letters.copy()
    [row] = await world.api.list_dead_letters()
    assert (row.body, row.error) == (f'{{"text": "use {MASK}", "attempt_token": "{MASK}"}}', f"refused {MASK}")
    assert [letter.body for letter in await world.bus.messages(LETTERS)] == [body]


async def test_a_long_body_is_shown_in_part(world: World) -> None:
    await world.bury(body="x" * (MAX_BODY + 5))
    await world.letters.copy()
    [row] = await world.api.list_dead_letters()
    assert row.body.endswith("x… (5 more characters)")


async def test_an_outage_of_the_api_loses_no_dead_letter(world: World) -> None:
    assert isinstance(world.api, AwayApi)
    world.api.is_away = True
    await world.bury()
    await world.letters.copy()
    assert (await world.bus.stats(LETTERS)).groups["scheduler"].pending == 1
    world.api.is_away = False
    await world.letters.copy()
    assert len(await world.api.list_dead_letters()) == 1
    assert (await world.bus.stats(LETTERS)).groups["scheduler"].pending == 0


@pytest.mark.parametrize("stream", [stream for stream in TOPOLOGY if "{" not in stream.name], ids=lambda s: s.name)
async def test_every_stream_that_exists_once_is_looked_at(world: World, stream: Stream[Any]) -> None:
    await world.bury(stream)
    await world.letters.copy()
    assert [row.stream for row in await world.api.list_dead_letters()] == [stream.name]


@pytest.mark.parametrize(
    ("family", "kind"),
    [(PO_INPUT, WorkerType.PO), (PO_OUTPUT, WorkerType.PO), (DEVELOPER_INPUT, WorkerType.DEVELOPER)],
    ids=["po input", "po output", "developer input"],
)
async def test_the_streams_of_a_worker_are_found_through_the_api(
    world: World, family: Stream[Any], kind: WorkerType
) -> None:
    await world.worker("w1", kind)
    await world.bury(family.at("w1"))
    await world.bury(family.at("unheard-of"))
    await world.letters.copy_of_workers()
    assert [row.stream for row in await world.api.list_dead_letters()] == [family.at("w1").name]


async def test_a_worker_that_ended_long_ago_is_not_looked_at_and_one_that_lives_is(world: World) -> None:
    await world.worker("old", WorkerType.DEVELOPER, WorkerStatus.STOPPED)
    await world.worker("living", WorkerType.DEVELOPER)
    world.clock.advance(RETENTION.total_seconds() + 1)
    await world.worker("recent", WorkerType.DEVELOPER, WorkerStatus.FAILED)
    for name in ("old", "living", "recent"):
        await world.bury(DEVELOPER_INPUT.at(name))
    await world.letters.copy_of_workers()
    copied = {row.stream for row in await world.api.list_dead_letters()}
    assert copied == {DEVELOPER_INPUT.at(name).name for name in ("living", "recent")}


async def test_looking_makes_no_stream(world: World) -> None:
    await world.worker("w1", WorkerType.PO)
    await world.letters.copy()
    await world.letters.copy_of_workers()
    await world.letters.trim()
    assert not any(world.bus.streams.exists(stream.dead_letters.name) for stream in TOPOLOGY)
    assert not world.bus.streams.exists(PO_INPUT.at("w1").dead_letters.name)


async def test_dead_letters_leave_their_stream_after_seven_days(world: World) -> None:
    world.clock = FakeClock(datetime(1970, 1, 1, tzinfo=UTC) + RETENTION + timedelta(milliseconds=3))
    world.letters = DeadLetters(world.api, world.bus, world.clock)
    ids = [await world.bury() for _ in range(5)]
    await world.letters.trim()
    assert [entry_id for entry_id, _ in await world.bus.read(LETTERS)] == ids[2:]
    assert len(await world.api.list_dead_letters()) == 5


async def test_a_dead_letter_that_could_not_be_copied_yet_is_kept_whatever_its_age(world: World) -> None:
    assert isinstance(world.api, AwayApi)
    world.api.is_away = True
    await world.bury()
    await world.letters.trim()
    assert len(await world.bus.read(LETTERS)) == 1
