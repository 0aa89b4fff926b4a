"""`codegen dlq` as a person calls it, against a real api."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local_stack.credentials import Credentials
from shared.clients.api import ApiClient
from shared.contracts.vocabulary import DeadLetterState
from shared.testing.api_dead_letter_contract import recorded
from shared.testing.api_process import running_api

pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]
SECONDS = 60


async def codegen(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    def call() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "local_stack", "dlq", *arguments],
            env={**os.environ, "CODEGEN_HOME": str(home), "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    done = await asyncio.to_thread(call)
    assert "Traceback" not in done.stdout + done.stderr
    return done


@dataclass
class RunningStack:
    """A home that looks as if a stack ran in it; of its parts only the api does."""

    home: Path
    api: ApiClient

    async def said(self, *arguments: str) -> str:
        done = await codegen(self.home, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
async def stack(database_url: str, tmp_path: Path) -> AsyncIterator[RunningStack]:
    (tmp_path / "keys").mkdir(mode=0o700)
    credentials = Credentials.load_or_create(tmp_path / "keys")
    async with running_api(database_url, environment={"API_JWT_SECRET": credentials.api_jwt_secret}) as process:
        state = {"pid": os.getpid(), "children": {}, "urls": {"api": process.base_url}, "real": [], "emulated": []}
        (tmp_path / "stack.json").write_text(json.dumps(state))
        with (tmp_path / "stack.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            async with ApiClient(process.base_url, credentials.service_token("test")) as api:
                yield RunningStack(tmp_path, api)


async def test_an_operator_lists_shows_replays_and_discards(stack: RunningStack) -> None:
    assert "no such dead letters" in await stack.said("list")
    first, second, third = [await recorded(stack.api, stream="engineering:queue") for _ in range(3)]
    other = await recorded(stack.api, reason="undecodable")
    listed = json.loads(await stack.said("list", "--stream", "engineering:queue", "--json"))
    assert [row["id"] for row in listed] == [first.id, second.id, third.id]
    assert other.stream in await stack.said("list", "--reason", "undecodable")
    assert "engineering:queue" in await stack.said("show", str(first.id))
    assert "discard requested" in await stack.said("discard", str(first.id))
    assert "replay requested" in await stack.said("replay", str(second.id))
    assert "for 1 dead letter\n" in await stack.said("replay", "--stream", "engineering:queue")
    assert "for 1 dead letter\n" in await stack.said("replay", "--all")
    asked = await stack.api.list_dead_letters(state=DeadLetterState.REPLAY_REQUESTED)
    assert [row.id for row in asked] == [second.id, third.id, other.id]
    assert "no such dead letters" in await stack.said("list")
    assert len(json.loads(await stack.said("list", "--any-state", "--json"))) == 4


async def test_what_cannot_be_done_is_said(stack: RunningStack) -> None:
    for arguments, told in (
        (("show", "99"), "there is no dead letter 99"),
        (("replay",), "say which dead letters to replay"),
        (("discard", "99"), "there is no dead letter 99"),
    ):
        done = await codegen(stack.home, *arguments)
        assert done.returncode == 1
        assert told in done.stderr


@pytest.mark.parametrize("arguments", [("list",), ("show", "1"), ("replay", "--all"), ("discard", "1")])
async def test_without_a_running_stack_every_command_says_so(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = await codegen(tmp_path, *arguments)
    assert done.returncode == 1
    assert "No stack is running" in done.stderr
