"""Each thing is said once, also when Telegram's confirmation is lost."""

from __future__ import annotations

import pytest

from shared.contracts.dto.accounts import UserUpsert
from shared.contracts.vocabulary import ChatMessageState
from shared.testing.api import FakeApi
from telegram_bot.chat_fake import FakeChat
from telegram_bot.errors import TelegramAway
from telegram_bot.sender import Sender

CHAT = 7


async def _user(api: FakeApi) -> str:
    return (await api.upsert_user(UserUpsert(telegram_id=CHAT, name="Ada"))).id


async def test_the_same_key_is_sent_once() -> None:
    chat, api = FakeChat(), FakeApi()
    sender, user = Sender(chat, api), await _user(api)
    for _ in range(3):
        await sender.say(user, CHAT, "answer:1", "It runs.")
    assert chat.texts(CHAT) == ["It runs."]


async def test_a_message_whose_confirmation_was_lost_is_found_and_not_repeated() -> None:
    chat, api = FakeChat(), FakeApi()
    user = await _user(api)
    await Sender(chat, api).say(user, CHAT, "earlier", "An earlier one")
    chat.receive(CHAT, "what the user wrote in between")
    chat.confirmations_to_lose = 1
    with pytest.raises(TelegramAway):
        await Sender(chat, api).say(user, CHAT, "answer:1", "It runs.")
    row = await Sender(chat, api).say(user, CHAT, "answer:1", "It runs.")
    assert chat.texts(CHAT) == ["An earlier one", "It runs."]
    assert row is not None
    assert row.telegram_message_id == max(chat.messages[CHAT])


async def test_a_message_that_never_arrived_is_sent_after_a_restart() -> None:
    chat, api = FakeChat(), FakeApi()
    user = await _user(api)
    await Sender(chat, api)._intend(user, CHAT, "answer:1", "It runs.")
    await Sender(chat, api).say(user, CHAT, "answer:1", "It runs.")
    assert chat.texts(CHAT) == ["It runs."]


async def test_looking_for_a_lost_message_changes_no_other_message() -> None:
    chat, api = FakeChat(), FakeApi()
    user = await _user(api)
    for number in range(5):
        await Sender(chat, api).say(user, CHAT, f"earlier:{number}", f"number {number}")
    chat.confirmations_to_lose = 1
    with pytest.raises(TelegramAway):
        await Sender(chat, api).say(user, CHAT, "answer:1", "It runs.")
    await Sender(chat, api).say(user, CHAT, "answer:1", "It runs.")
    assert chat.texts(CHAT) == [*(f"number {number}" for number in range(5)), "It runs."]


async def test_a_long_text_goes_out_in_parts_and_each_part_once() -> None:
    chat, api = FakeChat(), FakeApi()
    user = await _user(api)
    text = "word " * 2000
    for _ in range(2):
        await Sender(chat, api).say(user, CHAT, "answer:1", text)
    assert len(chat.texts(CHAT)) == 3
    assert " ".join(chat.texts(CHAT)).split() == text.split()


async def test_an_edit_happens_only_when_the_text_differs() -> None:
    chat, api = FakeChat(), FakeApi()
    sender, user = Sender(chat, api), await _user(api)
    row = await sender.say(user, CHAT, "progress:1", "planning")
    assert row is not None
    row = await sender.change(row, "coding")
    await sender.change(row, "coding")
    assert chat.texts(CHAT) == ["coding"]
    assert len(chat.edits) == 1


async def test_a_message_telegram_refuses_is_recorded_as_failed() -> None:
    class Closed(FakeChat):
        async def send(self, chat_id: int, text: str) -> int:
            return await super().send(chat_id, "")

    api = FakeApi()
    user = await _user(api)
    assert await Sender(Closed(), api).say(user, CHAT, "answer:1", "hello") is None
    rows = await api.list_chat_messages(dedupe_key="answer:1")
    assert [row.state for row in rows] == [ChatMessageState.FAILED]
