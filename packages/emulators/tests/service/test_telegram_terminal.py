"""The terminal chat as a process: lines in, the bot's doings out."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from emulators.telegram.fixtures import RunningTelegram, running_telegram

pytestmark = pytest.mark.service

ALICE = 7


@asynccontextmanager
async def terminal(url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    arguments = ["-m", "emulators", "telegram-chat", "--url", url, "--user", str(ALICE)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def read_until(process: asyncio.subprocess.Process, words: str) -> str:
    assert process.stdout is not None
    seen: list[str] = []
    async with asyncio.timeout(15):
        while not any(words in line for line in seen):
            line = (await process.stdout.readline()).decode()
            assert line, f"the chat ended after {seen}"
            seen.append(line)
    return "".join(seen)


def type_line(process: asyncio.subprocess.Process, line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n".encode())


async def bot_call(running: RunningTelegram, method: str, **values: object) -> None:
    async with httpx.AsyncClient(base_url=running.bot_base_url + running.token) as http:
        (await http.post(f"/{method}", json={"chat_id": ALICE, **values})).raise_for_status()


async def test_lines_reach_the_bot_and_its_messages_edits_and_buttons_are_shown(tmp_path: Path) -> None:
    async with (
        running_telegram(tmp_path) as running,
        terminal(running.base_url) as process,
        running.user(ALICE) as user,
    ):
        await read_until(process, "/quit")
        type_line(process, "build me a guest book")
        written = await user.wait_for(lambda event: event.text == "build me a guest book", 10)
        assert not written.from_bot
        keyboard = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y:1"}]]}
        await bot_call(running, "sendMessage", text="sure?", reply_markup=keyboard)
        assert "bot> sure?" in await read_until(process, "[1] Yes")
        type_line(process, "/press 2")
        await read_until(process, "there are 1 buttons")
        type_line(process, "/press 1")
        # The edit takes the button away: the press has to be there before.
        async with httpx.AsyncClient(base_url=running.bot_base_url + running.token, timeout=15) as http:
            updates = json.loads((await http.get("/getUpdates", params={"timeout": 10, "offset": 2})).text)["result"]
        assert updates[0]["callback_query"]["data"] == "y:1"
        await bot_call(running, "editMessageText", message_id=written.message_id + 1, text="building")
        await read_until(process, "bot (edited)> building")
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(5):
            _, errors = await process.communicate()
        assert (process.returncode, errors) == (0, b"")


async def test_the_end_of_the_input_ends_the_chat(tmp_path: Path) -> None:
    async with running_telegram(tmp_path) as running, terminal(running.base_url) as process:
        async with asyncio.timeout(15):
            _, errors = await process.communicate(b"hello\n")
        assert (process.returncode, errors) == (0, b"")
        async with running.user(ALICE) as user:
            assert [event.text for event in await user.events()] == ["hello"]


async def test_an_emulator_that_does_not_answer_is_named() -> None:
    async with terminal("http://127.0.0.1:1") as process:
        async with asyncio.timeout(15):
            _, errors = await process.communicate()
        assert process.returncode == 1
        assert b"http://127.0.0.1:1 cannot be used" in errors
