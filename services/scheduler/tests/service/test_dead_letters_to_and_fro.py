"""A poison message, as an operator meets it: api, relay and scheduler as processes, real PostgreSQL, real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.clients.api import ApiClient
from shared.contracts.dto.infrastructure import DeadLetterDTO, DeadLetterFilter
from shared.contracts.queues.work import EngineeringMessage
from shared.contracts.topology import ENGINEERING_QUEUE
from shared.contracts.vocabulary import DeadLetterState
from shared.logging.redaction import MASK
from shared.redis.bus import Bus
from shared.redis.client import RedisStreamClient
from shared.redis.subscription import Delivery, StreamSub
from shared.runtime.errors import Category, PlatformError
from shared.testing.api_process import ServerProcess, running_api, running_relay, service_token
from shared.testing.waiting import consuming, eventually

pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]
SECRET = "ghs_0123456789abcdef0123"
LETTERS = ENGINEERING_QUEUE.dead_letters
SECONDS = 30.0


class Poison(PlatformError):
    """Nobody can handle this."""

    code = "poison"
    category = Category.PERMANENT


class Reader:
    """Handles messages, or refuses them for good while it is `picky`."""

    def __init__(self) -> None:
        self.is_picky = True
        self.handled: list[str] = []

    async def __call__(self, message: EngineeringMessage, _: Delivery) -> None:
        if self.is_picky:
            raise Poison(f"cannot use {SECRET}")
        self.handled.append(message.task_id)


@dataclass
class Scene:
    api: ApiClient
    bus: Bus
    reader: Reader

    async def row(self) -> DeadLetterDTO:
        """Return the newest dead letter once it was copied."""
        known = len(await self.api.list_dead_letters())
        await self.bus.publish(ENGINEERING_QUEUE, EngineeringMessage(task_id=SECRET, project_id="p", user_id="u"))

        async def is_copied() -> bool:
            return len(await self.api.list_dead_letters()) > known

        await eventually(is_copied, SECONDS)
        return (await self.api.list_dead_letters())[-1]

    async def settled(self, letter: DeadLetterDTO, state: DeadLetterState) -> DeadLetterDTO:
        """Return the row once it has reached a state."""

        async def is_there() -> bool:
            return (await self.api.get_dead_letter(letter.id)).state is state

        await eventually(is_there, SECONDS)
        return await self.api.get_dead_letter(letter.id)

    async def left(self) -> int:
        return len(await self.bus.read(LETTERS))


@pytest.fixture
async def scene(database_url: str, redis_url: str, bus: RedisStreamClient, tmp_path: Path) -> AsyncIterator[Scene]:
    async with running_api(database_url) as process, running_relay(database_url, redis_url):
        environment = {
            "API_URL": process.base_url,
            "API_TOKEN": service_token("scheduler"),
            "REDIS_URL": redis_url,
            "DEAD_LETTER_INTERVAL_SECONDS": "0.1",
        }
        scheduler = ServerProcess("orchestrator_scheduler", environment, log_path=tmp_path / "scheduler.log")
        reader = Reader()
        try:
            await scheduler.start()
            async with ApiClient(process.base_url, process.service_token("operator")) as api:
                async with consuming(bus, StreamSub(ENGINEERING_QUEUE, "langgraph", "test", reader)):
                    yield Scene(api, bus, reader)
        finally:
            await scheduler.stop()
    assert SECRET not in (tmp_path / "scheduler.log").read_text()


async def test_a_poison_message_is_shown_without_secrets_replayed_and_handled(scene: Scene) -> None:
    letter = await scene.row()
    assert (letter.stream, letter.group, letter.reason) == ("engineering:queue", "langgraph", "permanent_error")
    assert (letter.error, letter.state) == (f"poison: cannot use {MASK}", DeadLetterState.OPEN)
    assert f'"task_id": "{MASK}"' in letter.body
    assert SECRET not in letter.model_dump_json()
    scene.reader.is_picky = False
    for _ in range(3):
        await scene.api.replay_dead_letter(letter.id)
    replayed = await scene.settled(letter, DeadLetterState.REPLAYED)
    assert replayed.outcome is not None
    await eventually(lambda: bool(scene.reader.handled), SECONDS)
    await scene.api.replay_dead_letter(letter.id)
    assert scene.reader.handled == [SECRET]
    assert await scene.left() == 0


async def test_what_dies_again_is_a_new_dead_letter_and_can_be_discarded(scene: Scene) -> None:
    first = await scene.row()
    assert (await scene.api.replay_dead_letters(DeadLetterFilter(stream="engineering:queue"))).count == 1
    await scene.settled(first, DeadLetterState.REPLAYED)

    async def is_back() -> bool:
        return len(await scene.api.list_dead_letters(state=DeadLetterState.OPEN)) == 1

    await eventually(is_back, SECONDS)
    [second] = await scene.api.list_dead_letters(state=DeadLetterState.OPEN)
    assert second.entry_id != first.entry_id
    await scene.api.discard_dead_letter(second.id)
    await scene.settled(second, DeadLetterState.DISCARDED)
    assert await scene.left() == 0
    assert scene.reader.handled == []
