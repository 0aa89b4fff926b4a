"""The fake chat and python-telegram-bot on the emulated Bot API keep the same contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from emulators.telegram.client import UserClient
from emulators.telegram.fixtures import running_telegram
from telegram_bot.chat import Chat, EditOutcome, TelegramChat
from telegram_bot.chat_fake import FakeChat
from telegram_bot.errors import SendFailed

USER = 4711


@dataclass
class Both:
    chat: Chat
    fake: FakeChat | None
    user: UserClient | None

    async def write(self, text: str) -> None:
        if self.fake is not None:
            self.fake.receive(USER, text)
        else:
            assert self.user is not None
            await self.user.send(text)


@pytest.fixture(params=["fake", "real"])
async def both(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Both]:
    if request.param == "fake":
        fake = FakeChat()
        yield Both(fake, fake, None)
        return
    async with running_telegram(tmp_path) as telegram, telegram.user(USER) as user:
        chat = TelegramChat.connect(telegram.token, telegram.base_url)
        await chat.open()
        yield Both(chat, None, user)
        await chat.close()


async def test_a_message_comes_with_its_sender_and_is_given_again_until_confirmed(both: Both) -> None:
    await both.write("hello")
    (first,) = await both.chat.poll(None, 1)
    (again,) = await both.chat.poll(None, 1)
    assert (first.telegram_id, first.text, first.update_id) == (USER, "hello", again.update_id)
    assert await both.chat.poll(first.update_id + 1, 0) == []


async def test_a_sent_message_can_be_edited_and_says_when_nothing_would_change(both: Both) -> None:
    await both.write("hello")
    message_id = await both.chat.send(USER, "working")
    assert await both.chat.edit(USER, message_id, "working") is EditOutcome.UNCHANGED
    assert await both.chat.edit(USER, message_id, "done") is EditOutcome.EDITED


async def test_what_the_user_wrote_and_what_does_not_exist_cannot_be_edited(both: Both) -> None:
    await both.write("hello")
    (update,) = await both.chat.poll(None, 1)
    assert update.message_id is not None
    assert await both.chat.edit(USER, update.message_id, "hello") is EditOutcome.IMPOSSIBLE
    assert await both.chat.edit(USER, update.message_id + 50, "x") is EditOutcome.IMPOSSIBLE


async def test_a_text_that_is_too_long_is_refused(both: Both) -> None:
    await both.write("hello")
    with pytest.raises(SendFailed):
        await both.chat.send(USER, "x" * 5000)


async def test_a_wrong_token_is_named(tmp_path: Path) -> None:
    async with running_telegram(tmp_path) as telegram:
        chat = TelegramChat.connect("1:wrong", telegram.base_url)
        with pytest.raises(SendFailed, match="token"):
            await chat.open()
