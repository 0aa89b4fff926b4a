"""The `codegen` command as an operator calls it, in a home of its own under /tmp."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from local_stack.settings import environment_without
from local_stack.sweep import leftovers
from shared.runtime.settings import find_repository

START_SECONDS = 90
CALL_SECONDS = 60
TOLD = 1500
ASK_AGAIN_SECONDS = 2.0
ACCOUNTS = ("ANTHROPIC_API_KEY", "TELEGRAM_BOT_TOKEN", "GITHUB_APP_ID", "TELEGRAM_ALLOWED_USERS")


class Codegen:
    """The command in one home, without any real account but those that are named."""

    def __init__(self, home: Path, *, accounts: Collection[str] = ()) -> None:
        self.home = home
        emulated = [name for name in ACCOUNTS if name not in accounts]
        self._environment = environment_without(emulated) | {"CODEGEN_HOME": str(home)}

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start a command in a session of its own."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "local_stack", *arguments),
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )

    async def call(
        self, *arguments: str, typed: str = "", deadline_seconds: float = CALL_SECONDS
    ) -> tuple[int | None, str]:
        """Run a command to its end and return exit code and output; it never shows a traceback."""
        process = await self.start(*arguments)
        async with asyncio.timeout(deadline_seconds):
            output, _ = await process.communicate(typed.encode())
        print(f"$ codegen {' '.join(arguments)} → {process.returncode}\n{output.decode()[-TOLD:]}")
        assert b"Traceback" not in output, output.decode()
        return process.returncode, output.decode()

    async def until_all_ready(self) -> str:
        """Ask for the status until every process is ready, the prepared server included."""
        async with asyncio.timeout(START_SECONDS):
            while True:
                code, status = await self.call("status")
                if code == 0:
                    return status
                await asyncio.sleep(ASK_AGAIN_SECONDS)

    @asynccontextmanager
    async def up(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run `codegen up` until it is ready; kill it if the block leaves it running."""
        process = await self.start("up")
        try:
            await self._until_said(process, "everything is ready")
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
                await self.call("down")

    async def _until_said(self, process: asyncio.subprocess.Process, text: str) -> None:
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


def share_agents(home: Path) -> None:
    """Let a home use the agent binaries that the checkout has fetched already."""
    shared = find_repository() / ".codegen" / "agents"
    if shared.is_dir() and not (home / "agents").exists():
        (home / "agents").symlink_to(shared)


@contextmanager
def own_home(prefix: str) -> Iterator[Path]:
    """Make a home that other users may enter; when the block ends nothing may run in it any more."""
    home = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    home.chmod(0o755)
    share_agents(home)
    try:
        yield home
        assert leftovers(home) == []
    finally:
        shutil.rmtree(home)
