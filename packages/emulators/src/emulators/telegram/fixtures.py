"""Runs the Telegram emulator as a child process for the tests of other members."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from emulators.process import EmulatorProcess, running_emulator
from emulators.telegram.client import UserClient

TEST_TOKEN = "123456:TEST-token_of-the-emulator"  # noqa: S105 - no server but the emulator takes it


@dataclass
class RunningTelegram:
    """A running emulator; base_url is its root."""

    process: EmulatorProcess
    base_url: str
    token: str

    @property
    def bot_base_url(self) -> str:
        """Return what python-telegram-bot takes as base_url."""
        return f"{self.base_url}/bot"

    @property
    def file_base_url(self) -> str:
        """Return what python-telegram-bot takes as base_file_url."""
        return f"{self.base_url}/file/bot"

    def user(self, user_id: int) -> UserClient:
        """Return a client for a user; close it, or use it in `async with`."""
        return UserClient(self.base_url, user_id)

    async def queue_fault(self, fault: object) -> None:
        """Queue one fault or a list of them (see emulators.faults.Fault)."""
        async with httpx.AsyncClient(timeout=30) as client:
            response = await client.post(f"{self.base_url}/_emulator/faults", json=fault)
            if response.is_error:
                raise RuntimeError(response.text)

    async def queue_flood(self, method: str, *, retry_after: int = 1, times: int = 1) -> None:
        """Answer the next calls of a method with 429 and retry_after."""
        await self.queue_fault(
            {
                "match": {"path": f"/{method}$"},
                "kind": "status",
                "status": 429,
                "body": {
                    "ok": False,
                    "error_code": 429,
                    "description": f"Too Many Requests: retry after {retry_after}",
                    "parameters": {"retry_after": retry_after},
                },
                "times": times,
            }
        )


@asynccontextmanager
async def running_telegram(
    state: Path, *, token: str = TEST_TOKEN, port: int = 0, options: Sequence[str] = ()
) -> AsyncIterator[RunningTelegram]:
    """Run the emulator on a free loopback port; `options` are further command line arguments."""
    async with running_emulator("telegram", state, ["--token", token, *options], port=port) as process:
        yield RunningTelegram(process, process.base_url, token)
