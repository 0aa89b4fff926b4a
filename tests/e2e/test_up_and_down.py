"""`codegen up` as an operator uses it: status, chat, a second start, Ctrl-C, taken ports, down."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from local_stack.settings import find_repository
from local_stack.sweep import leftovers

pytestmark = pytest.mark.timeout(180)
START_SECONDS = 90
ACCOUNTS = ("ANTHROPIC_API_KEY", "TELEGRAM_BOT_TOKEN", "GITHUB_APP_ID", "TELEGRAM_ALLOWED_USERS")


class Codegen:
    """The command in one home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        inherited = {name: value for name, value in os.environ.items() if name not in ACCOUNTS}
        self._environment = {**inherited, "CODEGEN_HOME": str(home)}

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "local_stack", *arguments),
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )

    async def call(self, *arguments: str, typed: str = "") -> tuple[int | None, str]:
        """Run a command to its end and return exit code and output."""
        process = await self.start(*arguments)
        async with asyncio.timeout(60):
            output, _ = await process.communicate(typed.encode())
        print(f"$ codegen {' '.join(arguments)} → {process.returncode}\n{output.decode()[-1500:]}")
        assert b"Traceback" not in output
        return process.returncode, output.decode()

    async def until_all_ready(self) -> str:
        """Ask for the status until every process is ready, the prepared server included."""
        async with asyncio.timeout(START_SECONDS):
            while True:
                code, status = await self.call("status")
                if code == 0:
                    return status

    @asynccontextmanager
    async def up(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run `codegen up` until it is ready; kill it if the block leaves it running."""
        process = await self.start("up")
        try:
            await self.until_said(process, "everything is ready")
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
                await self.call("down")

    async def until_said(self, process: asyncio.subprocess.Process, text: str) -> None:
        assert process.stdout is not None
        seen = []
        async with asyncio.timeout(START_SECONDS):
            while line := await process.stdout.readline():
                seen.append(line.decode())
                if text in seen[-1]:
                    return
        raise AssertionError(f"{text!r} was never said:\n{''.join(seen)}")

    def ports(self) -> dict[str, int]:
        ports: dict[str, int] = json.loads((self.home / "ports.json").read_text())
        return ports


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def codegen() -> AsyncIterator[Codegen]:
    home = Path(tempfile.mkdtemp(prefix="codegen-up-", dir="/tmp"))
    home.chmod(0o755)
    shared = find_repository() / ".codegen" / "agents"
    if shared.is_dir():
        (home / "agents").symlink_to(shared)
    try:
        yield Codegen(home)
        assert leftovers(home) == []
    finally:
        shutil.rmtree(home)


async def test_a_running_stack_can_be_watched_talked_to_and_interrupted(codegen: Codegen) -> None:
    async with codegen.up() as up:
        status = await codegen.until_all_ready()
        assert all(name in status for name in ("postgres", "redis", "langgraph", "telegram-bot", "server"))

        code, second = await codegen.call("up")
        assert code == 1
        assert "a stack is already running" in second

        code, told = await codegen.call("chat", typed="x" * 10_000 + "\n")
        assert code == 0
        assert "a message has at most 4096 characters" in told

        code, log = await codegen.call("logs", "api", "-n", "5")
        assert code == 0
        assert log.strip()

        children = psutil.Process(up.pid).children(recursive=True)
        assert len(children) >= 13
        up.send_signal(signal.SIGINT)
        async with asyncio.timeout(60):
            output, _ = await up.communicate()
        print(output.decode())
        assert up.returncode == 130
        assert b"Traceback" not in output
        assert [child.pid for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
        assert leftovers(codegen.home) == []
    code, status = await codegen.call("status")
    assert code == 1
    assert "No stack is running" in status


async def test_a_stack_starts_again_where_it_was_although_its_ports_are_taken(codegen: Codegen) -> None:
    before = codegen.ports()
    with socket.socket() as api, socket.socket() as server:
        for taken, name in ((api, "api"), (server, "server")):
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", before[name]))
            taken.listen()
        async with codegen.up():
            after = codegen.ports()
            changed = {name for name in before if before[name] != after[name]}
            print("other ports:", {name: (before[name], after[name]) for name in changed})
            assert {"api", "server"} <= changed
            await codegen.until_all_ready()


async def test_a_killed_launcher_leaves_processes_that_down_finds(codegen: Codegen) -> None:
    async with codegen.up() as up:
        up.kill()
        await up.wait()
        assert leftovers(codegen.home)
        code, told = await codegen.call("down")
        assert code == 0
        assert "left behind" in told
        assert leftovers(codegen.home) == []
