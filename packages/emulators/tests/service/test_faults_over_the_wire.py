"""Cut connections and signals, seen by a real client of a real process."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from emulators.process import EmulatorStartError, start_emulator
from emulators.telegram.fixtures import TEST_TOKEN, RunningTelegram, running_telegram

pytestmark = pytest.mark.service


@pytest.fixture
async def telegram(tmp_path: Path) -> AsyncIterator[RunningTelegram]:
    async with running_telegram(tmp_path) as running:
        yield running


async def test_a_cut_before_the_work_leaves_no_effect(telegram: RunningTelegram) -> None:
    await telegram.queue_fault({"kind": "cut", "match": {"path": "/sendMessage$"}})
    async with telegram.user(7) as user, httpx.AsyncClient(base_url=telegram.base_url) as bot:
        await user.register()
        with pytest.raises(httpx.RemoteProtocolError):
            await bot.post(f"/bot{TEST_TOKEN}/sendMessage", json={"chat_id": 7, "text": "lost"})
        assert await user.events() == []
        assert (await bot.post(f"/bot{TEST_TOKEN}/sendMessage", json={"chat_id": 7, "text": "x"})).status_code == 200


async def test_a_cut_after_the_work_loses_only_the_answer(telegram: RunningTelegram) -> None:
    await telegram.queue_fault({"kind": "cut", "match": {"path": "/sendMessage$"}, "cut_after_bytes": 0})
    async with telegram.user(7) as user, httpx.AsyncClient(base_url=telegram.base_url) as bot:
        await user.register()
        with pytest.raises(httpx.RemoteProtocolError):
            await bot.post(f"/bot{TEST_TOKEN}/sendMessage", json={"chat_id": 7, "text": "done"})
        assert [event.text for event in await user.events()] == ["done"]
        requests = (await bot.get("/_emulator/requests")).json()
        assert [(record["fault"], record["status"]) for record in requests] == [("cut", None)]


async def test_sigterm_ends_a_process_with_open_polls_within_a_second(tmp_path: Path) -> None:
    process = await start_emulator("telegram", tmp_path, ["--token", TEST_TOKEN])
    async with httpx.AsyncClient(base_url=process.base_url, timeout=30) as bot:
        poll = asyncio.create_task(bot.get(f"/bot{TEST_TOKEN}/getUpdates", params={"timeout": 30}))
        async with asyncio.timeout(5):
            while not (await bot.get("/_emulator/requests")).json():
                continue
        started = time.monotonic()
        assert await process.stop() == 0
        # The promise is one second; a loaded machine gets some more to schedule it.
        assert time.monotonic() - started < 2
        await asyncio.gather(poll, return_exceptions=True)


async def test_a_taken_port_is_told_on_stderr(tmp_path: Path, telegram: RunningTelegram) -> None:
    with pytest.raises(EmulatorStartError, match="cannot listen"):
        await start_emulator("telegram", tmp_path / "two", ["--token", TEST_TOKEN], port=telegram.process.port)
