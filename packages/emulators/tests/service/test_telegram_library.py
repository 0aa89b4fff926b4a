"""python-telegram-bot works against the emulator as against Telegram."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulators.telegram.errors import ControlCallError
from emulators.telegram.fixtures import RunningTelegram, running_telegram

telegram = pytest.importorskip("telegram", reason="python-telegram-bot is not installed")
ext = pytest.importorskip("telegram.ext", reason="python-telegram-bot is not installed")

pytestmark = pytest.mark.service

ALICE = 7


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningTelegram]:
    async with running_telegram(tmp_path / "state") as emulator:
        yield emulator


def built(running: RunningTelegram) -> Any:
    builder = ext.ApplicationBuilder().token(running.token)
    return builder.base_url(running.bot_base_url).base_file_url(running.file_base_url).build()


@asynccontextmanager
async def polling(application: Any) -> AsyncIterator[None]:
    async with application:
        await application.start()
        await application.updater.start_polling()
        try:
            yield
        finally:
            await application.updater.stop()
            await application.stop()


async def test_a_command_a_button_an_edit_and_a_file(running: RunningTelegram) -> None:
    application = built(running)
    keyboard = telegram.InlineKeyboardMarkup([[telegram.InlineKeyboardButton("go", callback_data="go:1")]])

    async def start(update: Any, context: Any) -> None:
        await update.message.reply_text("choose", reply_markup=keyboard)

    async def pressed(update: Any, context: Any) -> None:
        await update.callback_query.answer("noted")
        await update.callback_query.edit_message_text(f"got {update.callback_query.data}")
        sent = await context.bot.send_document(ALICE, b"log lines", filename="run.log", caption="the log")
        file = await context.bot.get_file(sent.document.file_id)
        await context.bot.send_message(ALICE, bytes(await file.download_as_bytearray()).decode())

    application.add_handler(ext.CommandHandler("start", start))
    application.add_handler(ext.CallbackQueryHandler(pressed))
    async with polling(application), running.user(ALICE) as user:
        await user.register("Alice", "alice")
        await user.send("/start")
        choice = await user.wait_for(lambda event: event.text == "choose", 10)
        await user.press(choice.message_id, "go:1")
        last = await user.wait_for(lambda event: event.text == "log lines", 10)
        kinds = [(event.kind, event.text) for event in await user.events(choice.event)]
        assert kinds == [("answered", "noted"), ("edited", "got go:1"), ("sent", "the log"), ("sent", "log lines")]
        assert last.from_bot
        chat = await application.bot.get_chat(ALICE)
        assert (chat.first_name, chat.username) == ("Alice", "alice")


async def test_errors_are_the_library_s_own_types(running: RunningTelegram, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without it the library warns of its own future type.
    monkeypatch.setenv("PTB_TIMEDELTA", "true")
    async with built(running).bot as bot, running.user(ALICE) as user:
        await user.register()
        sent = await bot.send_message(ALICE, "one")
        with pytest.raises(telegram.error.BadRequest, match="Message is not modified"):
            await bot.edit_message_text("one", ALICE, sent.message_id)
        with pytest.raises(telegram.error.BadRequest, match="Chat not found"):
            await bot.send_message(99, "one")
        await running.queue_flood("sendMessage", retry_after=3)
        with pytest.raises(telegram.error.RetryAfter) as caught:
            await bot.send_message(ALICE, "two")
        assert caught.value.retry_after == timedelta(seconds=3)
        await user.register(blocks_bot=True)
        with pytest.raises(telegram.error.Forbidden):
            await bot.send_message(ALICE, "three")
    stranger = ext.ApplicationBuilder().token("1:wrong").base_url(running.bot_base_url).build().bot
    with pytest.raises(telegram.error.InvalidToken):
        await stranger.initialize()
    await stranger.shutdown()


async def test_a_restarted_server_keeps_the_chat_and_what_is_pending(tmp_path: Path) -> None:
    async with running_telegram(tmp_path / "state") as before:
        async with before.user(ALICE) as user:
            written = await user.send("hello")
        port = before.process.port
        await before.process.kill()
    async with running_telegram(tmp_path / "state", port=port) as after, built(after).bot as bot:
        [update] = await bot.get_updates()
        assert (update.update_id, update.message.message_id) == (written.update_id, written.message_id)
        assert (await bot.send_message(ALICE, "back")).message_id == written.message_id + 1
        async with after.user(ALICE) as user:
            assert [event.text for event in await user.events()] == ["hello", "back"]


async def test_updates_are_pushed_to_a_webhook(running: RunningTelegram, tmp_path: Path) -> None:
    # The second emulator is the webhook's receiver: it logs what it is asked.
    async with running_telegram(tmp_path / "receiver") as receiver, built(running).bot as bot:
        await receiver.queue_fault({"kind": "status", "status": 200, "match": {"path": "^/hook$"}, "times": 2})
        await bot.set_webhook(f"{receiver.base_url}/hook")
        async with running.user(ALICE) as user, httpx.AsyncClient(base_url=running.base_url) as http:
            first = await user.send("one")
            assert (await user.send("two")).update_id == first.update_id + 1
            answered = {"pending_update_count": -1}
            while answered["pending_update_count"] != 0:
                answered = (await http.get(f"/bot{running.token}/getWebhookInfo")).json()["result"]
        async with httpx.AsyncClient(base_url=receiver.base_url) as http:
            received = (await http.get("/_emulator/requests")).json()
        assert [(request["method"], request["path"]) for request in received] == [("POST", "/hook")] * 2


async def test_the_user_side_explains_what_it_refuses(running: RunningTelegram) -> None:
    async with running.user(ALICE) as user:
        with pytest.raises(ControlCallError, match="text: a client sends at most 4096"):
            await user.send("x" * 4097)
        with pytest.raises(ControlCallError, match="there is no message 9"):
            await user.press(9, "x")
        with pytest.raises(TimeoutError, match="no such event"):
            await user.wait_for(lambda event: False, 0.05)
