"""From an update to the answer: lanes, sessions, commands and refusals, in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from fakeredis import FakeAsyncRedis

from shared.contracts.dto.work import ProjectCreate
from shared.contracts.queues.workers import (
    CreateWorkerCommand,
    CreateWorkerResponse,
    POWorkerInput,
    POWorkerOutput,
    RefusalCode,
)
from shared.contracts.stages import Usage
from shared.contracts.topology import PO_INPUT, WORKER_COMMANDS
from shared.contracts.vocabulary import AgentType, ChatMessageState, ResultStatus
from shared.redis.subscription import Delivery
from shared.testing.api import FakeApi
from shared.testing.bus import FakeRedisStreamClient
from shared.testing.clock import FakeClock
from telegram_bot import keys
from telegram_bot.access import AccessList
from telegram_bot.chat_fake import FakeChat
from telegram_bot.commands import Commands
from telegram_bot.lanes import MAX_ATTEMPTS, Lanes
from telegram_bot.sender import Sender
from telegram_bot.sessions import Sessions
from telegram_bot.updates import Updates

ADA, EVE = 7, 666
DELIVERY = Delivery(stream="s", entry_id="1-0", group="telegram-bot", attempt=1)


@dataclass
class Bot:
    chat: FakeChat
    api: FakeApi
    bus: FakeRedisStreamClient
    redis: FakeAsyncRedis
    clock: FakeClock
    lanes: Lanes
    updates: Updates

    async def write(self, text: str | None, telegram_id: int = ADA) -> None:
        await self.updates.take(self.chat.receive(telegram_id, text))

    async def commands(self) -> list[CreateWorkerCommand]:
        found = await self.bus.messages(WORKER_COMMANDS)
        return [command for command in found if isinstance(command, CreateWorkerCommand)]

    async def give_worker(self, worker_id: str = "w1") -> None:
        command = (await self.commands())[-1]
        response = CreateWorkerResponse(request_id=command.request_id, success=True, worker_id=worker_id)
        await self.lanes.on_response(response, DELIVERY)

    async def turns(self, worker_id: str = "w1") -> list[POWorkerInput]:
        return await self.bus.messages(PO_INPUT.at(worker_id))

    async def answer(self, text: str, status: ResultStatus = ResultStatus.SUCCESS, worker_id: str = "w1") -> None:
        turn = (await self.turns(worker_id))[-1]
        output = POWorkerOutput(
            request_id=turn.request_id,
            status=status,
            user_id=turn.user_id,
            text=text,
            error=None if status is ResultStatus.SUCCESS else "it broke",
            usage=Usage(input_tokens=5, output_tokens=2),
        )
        await self.lanes.on_output(output, DELIVERY)


@pytest.fixture
async def bot() -> AsyncIterator[Bot]:
    clock = FakeClock()
    chat, api, bus = FakeChat(), FakeApi(clock), FakeRedisStreamClient()
    redis = FakeAsyncRedis()
    sessions, sender = Sessions(redis, bus, AgentType.CLAUDE), Sender(chat, api)
    lanes = Lanes(api, bus, sessions, sender, clock, AgentType.CLAUDE, 600)
    access = AccessList.parse(f"{ADA},8", str(ADA))
    updates = Updates(chat, api, access, Commands(api, sessions), lanes, sender, sessions)
    yield Bot(chat, api, bus, redis, clock, lanes, updates)
    await redis.aclose()


async def test_a_message_makes_a_worker_gets_a_turn_and_an_answer(bot: Bot) -> None:
    await bot.write("Build a shop")
    assert [command.config.worker_type for command in await bot.commands()] == ["po"]
    await bot.give_worker()
    assert "Build a shop" in (await bot.turns())[0].prompt
    await bot.answer("I started.")
    assert bot.chat.texts(ADA) == ["I started."]
    rows = await bot.api.list_chat_messages(state=ChatMessageState.ANSWERED)
    assert [row.text for row in rows] == ["Build a shop"]


async def test_messages_sent_while_the_worker_is_busy_wait_their_turn(bot: Bot) -> None:
    await bot.write("one")
    await bot.give_worker()
    await bot.write("two")
    assert len(await bot.turns()) == 1
    await bot.answer("first")
    assert "two" in (await bot.turns())[1].prompt
    await bot.answer("second")
    assert bot.chat.texts(ADA) == ["first", "second"]


async def test_the_same_output_twice_is_one_answer_and_one_cost(bot: Bot) -> None:
    await bot.write("one")
    await bot.give_worker()
    await bot.answer("first")
    await bot.answer("first")
    assert bot.chat.texts(ADA) == ["first"]
    assert len(await bot.api.list_executions()) == 1


async def test_the_same_update_twice_is_one_turn(bot: Bot) -> None:
    update = bot.chat.receive(ADA, "one")
    await bot.updates.take(update)
    await bot.give_worker()
    await bot.updates.take(update)
    assert len(await bot.turns()) == 1


async def test_a_second_message_uses_the_same_worker(bot: Bot) -> None:
    await bot.write("one")
    await bot.give_worker()
    await bot.answer("first")
    await bot.write("two")
    assert len(await bot.commands()) == 1
    assert len(await bot.turns()) == 2


async def test_a_dead_worker_is_replaced(bot: Bot) -> None:
    await bot.write("one")
    await bot.give_worker()
    await bot.answer("first")
    await bot.redis.hset(keys.worker_status("w1"), "status", "FAILED")
    await bot.write("two")
    assert len(await bot.commands()) == 2
    await bot.give_worker("w2")
    assert len(await bot.turns("w2")) == 1


async def test_a_failed_turn_is_tried_again_and_then_the_user_is_told(bot: Bot) -> None:
    await bot.write("one")
    for attempt in range(1, MAX_ATTEMPTS + 1):
        await bot.give_worker(f"w{attempt}")
        await bot.answer("", ResultStatus.FAILED, f"w{attempt}")
    (text,) = bot.chat.texts(ADA)
    assert "it broke" in text
    assert [row.state for row in await bot.api.list_chat_messages(direction=None, state=ChatMessageState.FAILED)]


async def test_a_refusal_for_good_is_told_and_the_next_message_is_tried(bot: Bot) -> None:
    await bot.write("one")
    command = (await bot.commands())[-1]
    refusal = CreateWorkerResponse(
        request_id=command.request_id, success=False, code=RefusalCode.AUTH_MISSING, error="no key is configured"
    )
    await bot.lanes.on_response(refusal, DELIVERY)
    assert "no key is configured" in bot.chat.texts(ADA)[0]
    await bot.write("two")
    assert len(await bot.commands()) == 2


async def test_a_turn_nobody_answers_is_handed_out_again_after_its_deadline(bot: Bot) -> None:
    await bot.write("one")
    await bot.give_worker()
    bot.clock.advance(10_000)
    await bot.lanes.advance_all()
    await bot.lanes.advance_all()
    assert len(await bot.commands()) == 2


async def test_a_stranger_is_refused_once_and_nothing_is_stored(bot: Bot) -> None:
    await bot.write("let me in", EVE)
    await bot.write("let me in", EVE)
    assert len(bot.chat.texts(EVE)) == 1
    assert str(EVE) in bot.chat.texts(EVE)[0]
    assert await bot.api.list_chat_messages() == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, "only read text"), ("x" * 10_000, "10000 characters"), ("/nonsense", "do not know"), ("/help", "/cancel")],
)
async def test_bad_input_gets_a_clear_answer_without_a_worker(bot: Bot, text: str | None, expected: str) -> None:
    await bot.write(text)
    assert expected in bot.chat.texts(ADA)[0]
    assert await bot.commands() == []


async def test_projects_lists_only_the_users_own(bot: Bot) -> None:
    await bot.write("/start")
    (user,) = await bot.api.list_users()
    await bot.api.create_project(ProjectCreate(name="mine", owner_id=user.id))
    await bot.api.create_project(ProjectCreate(name="other", owner_id="somebody"))
    await bot.write("/projects")
    assert bot.chat.texts(ADA)[-1].startswith("mine")
    assert "other" not in bot.chat.texts(ADA)[-1]


async def test_commands_for_administrators_are_closed_to_others(bot: Bot) -> None:
    await bot.write("/pause", 8)
    assert "administrators" in bot.chat.texts(8)[0]
    await bot.write("/pause")
    assert await bot.api.get_setting("platform.paused") is True
