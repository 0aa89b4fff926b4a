"""What a user meets: the chat, the bot, the api and its relay. The test plays the user, worker-manager and a worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from emulators.telegram.client import UserClient
from emulators.telegram.fixtures import running_telegram
from shared.clients.api import ApiClient
from shared.contracts.base import new_id
from shared.contracts.dto.work import ProjectCreate
from shared.contracts.queues.workers import CreateWorkerCommand, CreateWorkerResponse, POWorkerInput, POWorkerOutput
from shared.contracts.run_machine import RunEventName
from shared.contracts.topology import PO_INPUT, PO_OUTPUT, WORKER_COMMANDS, WORKER_RESPONSES_PO
from shared.contracts.vocabulary import ResultStatus, WorkerStatus
from shared.redis.bus import Bus
from shared.redis.client import RedisStreamClient
from shared.testing.api_scenes import claimed_run, step
from shared.testing.deployed import Surroundings, deployed
from shared.testing.settings import StackSettings
from shared.testing.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]
USERS = range(1_000_010, 1_000_020)
SECONDS = 60


@dataclass
class Scene:
    telegram_url: str
    api: ApiClient
    bus: Bus

    def user(self, number: int) -> UserClient:
        return UserClient(self.telegram_url, USERS[number])

    async def give_a_worker(self, after: int) -> str:
        """Play worker-manager: answer the request for a worker that comes next."""
        asked: list[CreateWorkerCommand] = []

        async def is_asked() -> bool:
            entries: list[tuple[str, Any]] = await self.bus.read(WORKER_COMMANDS)
            asked[:] = [message for _, message in entries if isinstance(message, CreateWorkerCommand)]
            return len(asked) > after

        await eventually(is_asked, SECONDS)
        worker_id = f"w{new_id()[:12]}"
        answer = CreateWorkerResponse(
            request_id=asked[after].request_id, success=True, worker_id=worker_id, status=WorkerStatus.RUNNING
        )
        await self.bus.publish(WORKER_RESPONSES_PO, answer)
        return worker_id

    async def requests(self) -> int:
        entries: list[tuple[str, Any]] = await self.bus.read(WORKER_COMMANDS)
        return sum(isinstance(message, CreateWorkerCommand) for _, message in entries)

    async def prompt(self, worker_id: str) -> POWorkerInput:
        """Play the worker: return what it is asked first."""

        async def is_there() -> bool:
            return bool(await self.bus.read(PO_INPUT.at(worker_id)))

        await eventually(is_there, SECONDS)
        message: POWorkerInput = (await self.bus.read(PO_INPUT.at(worker_id)))[0][1]
        return message


@pytest.fixture
async def scene(
    surroundings: Surroundings,
    outside_api: ApiClient,
    outside_bus: RedisStreamClient,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Scene]:
    stack, environment = StackSettings(), surroundings.environment("telegram-bot")
    telegram_url = stack.telegram_url
    async with AsyncExitStack() as opened:
        if not stack.stack:
            folder = tmp_path_factory.getbasetemp() / "telegram"  # kept: update ids go on, as Telegram's do
            telegram = await opened.enter_async_context(running_telegram(folder))
            telegram_url = telegram.base_url
            environment |= {"TELEGRAM_API_URL": telegram.base_url, "TELEGRAM_BOT_TOKEN": telegram.token}
            environment |= {"TELEGRAM_ALLOWED_USERS": ",".join(map(str, USERS))}
        await opened.enter_async_context(deployed("telegram-bot", "telegram_bot", environment, tmp_path / "bot.log"))
        yield Scene(telegram_url, outside_api, outside_bus)


async def test_a_message_reaches_a_worker_and_its_answer_the_chat(scene: Scene) -> None:
    known = await scene.requests()
    async with scene.user(0) as user:
        await user.send("Build a guest book")
        worker_id = await scene.give_a_worker(known)
        asked = await scene.prompt(worker_id)
        assert "Build a guest book" in asked.prompt
        answer = POWorkerOutput(
            request_id=asked.request_id, user_id=asked.user_id, status=ResultStatus.SUCCESS, text="I build it now."
        )
        await scene.bus.publish(PO_OUTPUT.at(worker_id), answer)
        said = await user.wait_for(lambda event: event.from_bot and event.text == "I build it now.", SECONDS)
    assert said.kind == "sent"


async def test_what_the_api_records_of_a_run_is_told_in_its_owners_chat(scene: Scene) -> None:
    async with scene.user(1) as user:
        await user.send("/start")
        await user.wait_for(lambda event: event.from_bot and "Hello" in event.text, SECONDS)
        (account,) = await scene.api.list_users(telegram_id=USERS[1])
        name = f"birds-{new_id()[:8]}".lower()
        project = await scene.api.create_project(ProjectCreate(name=name, owner_id=account.id))
        run = await claimed_run(scene.api, project)
        await step(scene.api, run, RunEventName.START_PLANNING, RunEventName.PLAN_FAILED, reason="no plan is possible")
        told = await user.wait_for(lambda event: event.from_bot and "no plan is possible" in event.text, SECONDS)
    assert name in told.text


async def test_what_a_command_shows_is_what_the_api_has(scene: Scene) -> None:
    async with scene.user(2) as user:
        await user.send("/projects")
        await user.wait_for(lambda event: event.from_bot and "no applications yet" in event.text, SECONDS)
        (account,) = await scene.api.list_users(telegram_id=USERS[2])
        name = f"birds-{new_id()[:8]}".lower()
        await scene.api.create_project(ProjectCreate(name=name, owner_id=account.id))
        await user.send("/projects")
        await user.wait_for(lambda event: event.from_bot and event.text == f"{name} — draft", SECONDS)
