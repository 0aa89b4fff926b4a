"""The bot as it is deployed, seen from the chat of an emulated Telegram."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from emulators.telegram.client import UserClient
from emulators.telegram.fixtures import running_telegram
from shared.testing.deployed import Deployed, DeployedContract, Surroundings, deployed
from shared.testing.settings import StackSettings

USER, STRANGER = 1_000_001, 4711


class TestDeployedTelegramBot(DeployedContract):
    @pytest.fixture
    async def service(
        self, surroundings: Surroundings, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> AsyncIterator[Deployed]:
        stack, environment = StackSettings(), surroundings.environment("telegram-bot")
        self.telegram_url = stack.telegram_url
        async with AsyncExitStack() as opened:
            if not stack.stack:
                folder = tmp_path_factory.getbasetemp() / "telegram"  # kept: update ids go on, as Telegram's do
                telegram = await opened.enter_async_context(running_telegram(folder))
                self.telegram_url = telegram.base_url
                environment |= {"TELEGRAM_API_URL": telegram.base_url, "TELEGRAM_BOT_TOKEN": telegram.token}
                environment |= {"TELEGRAM_ALLOWED_USERS": str(USER)}
            log = tmp_path / "bot.log"
            yield await opened.enter_async_context(deployed("telegram-bot", "telegram_bot", environment, log))

    async def give(self) -> str:
        async with UserClient(self.telegram_url, USER) as user:
            return str((await user.send("/whoami")).message_id)

    async def see(self, given: str) -> None:
        async with UserClient(self.telegram_url, USER) as user:
            answer = await user.wait_for(lambda event: event.from_bot and event.message_id > int(given), 60)
        assert f"Telegram id {USER}" in answer.text

    async def test_a_stranger_is_refused(self, service: Deployed) -> None:
        async with UserClient(self.telegram_url, STRANGER) as stranger:
            await stranger.send("/whoami")
            answer = await stranger.wait_for(lambda event: event.from_bot, 60)
        assert "private" in answer.text
        assert str(STRANGER) in answer.text
