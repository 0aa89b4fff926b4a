"""The installed command against the real api and a real Redis, with a worker's own token."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from shared.clients.api import ApiClient
from shared.contracts.dto.accounts import UserUpsert, WorkerTokenRequest
from shared.contracts.topology import ENGINEERING_QUEUE, PO_OUTPUT
from shared.redis.client import RedisStreamClient
from shared.testing.api_process import ApiProcess, running_api
from shared.testing.fixtures import fresh_database

pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]
SCOPES = ["project.*", "engineering.*", "deploy.*", "infra.*", "respond", "diagnose.*"]
SECONDS = 60.0
NUMBERS = itertools.count(1)


class Cli:
    """Runs the command as an agent's shell would."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.environ = environ

    async def __call__(self, *arguments: str, **changes: str) -> tuple[int, Any]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "orchestrator_cli", *arguments),
            env={**self.environ, **changes},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        stdout, stderr = await asyncio.wait_for(process.communicate(), SECONDS)
        assert b"Traceback" not in stderr, stderr.decode()
        assert process.returncode is not None
        return process.returncode, json.loads(stdout)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres_admin_url: str) -> AsyncIterator[ApiProcess]:
    """One api for all tests: each has an owner of its own."""
    async with fresh_database(postgres_admin_url) as database_url, running_api(database_url) as running:
        yield running


@pytest.fixture
async def owner_id(api: ApiProcess) -> str:
    client = ApiClient(api.base_url, api.service_token("telegram-bot"))
    user = await client.upsert_user(UserUpsert(telegram_id=next(NUMBERS), name="Ada"))
    await client.aclose()
    return user.id


async def token(api: ApiProcess, owner_id: str, scopes: list[str]) -> str:
    client = ApiClient(api.base_url, api.service_token("worker-manager"))
    try:
        made = await client.create_worker_token(WorkerTokenRequest(worker_id="w-1", owner_id=owner_id, scopes=scopes))
    finally:
        await client.aclose()
    return made.token


@pytest.fixture
async def cli(api: ApiProcess, owner_id: str, redis_url: str) -> Cli:
    return Cli(
        {
            "PATH": os.environ["PATH"],
            "API_URL": api.base_url,
            "API_TOKEN": await token(api, owner_id, SCOPES),
            "REDIS_URL": redis_url,
            "WORKER_ID": "w-1",
            "USER_ID": owner_id,
            "WORKER_REQUEST_ID": "chat:1",
            "ALLOWED_COMMANDS": json.dumps(SCOPES),
        }
    )


async def test_a_project_with_a_task_is_in_the_database_and_its_message_in_the_queue(
    cli: Cli, bus: RedisStreamClient, owner_id: str
) -> None:
    command = ("project", "create", "--name", "guest-book", "--task", "A guest book")
    code, answer = await cli(*command)
    assert code == 0, answer
    ((_, message),) = await bus.read(ENGINEERING_QUEUE)
    assert message.task_id == answer["data"]["task"]["id"]
    assert message.user_id == owner_id
    again_code, again = await cli(*command)
    assert (again_code, again["data"]["id"]) == (0, answer["data"]["id"])
    _, listed = await cli("project", "list")
    assert [row["name"] for row in listed["data"]] == ["guest-book"]
    _, state = await cli("engineering", "status", message.task_id)
    assert state["data"]["status"] == "queued"
    assert (await cli("project", "get", "guest-book"))[1]["data"]["owner_id"] == owner_id
    assert len((await cli("project", "tasks", "guest-book"))[1]["data"]) == 1


async def test_refusals_have_their_exit_codes(cli: Cli, api: ApiProcess, owner_id: str) -> None:
    assert (await cli("project", "create", "--name", "Bad Name"))[0] == 2
    assert (await cli("project", "get", "nothing"))[0] == 3
    assert (await cli("project", "create", "--name", "book", ALLOWED_COMMANDS='["project.get"]'))[0] == 4
    # An agent that widens its own environment is refused by the api all the same.
    narrow = await token(api, owner_id, ["project.get"])
    code, answer = await cli("project", "create", "--name", "book", API_TOKEN=narrow, ALLOWED_COMMANDS='["*"]')
    assert (code, answer["error"]) == (4, "permission_denied"), answer
    assert (await cli("project", "create", "--name", "book"))[0] == 0
    assert (await cli("project", "create", "--name", "book", WORKER_REQUEST_ID="chat:2"))[0] == 5


async def test_a_redis_that_is_away_costs_a_retry_and_nothing_else(cli: Cli, bus: RedisStreamClient) -> None:
    command = ("project", "create", "--name", "guest-book", "--task", "A guest book")
    code, answer = await cli(*command, REDIS_URL="redis://127.0.0.1:1/0")
    assert (code, answer["error"]) == (6, "unavailable")
    assert (await cli(*command))[0] == 0
    assert len(await bus.read(ENGINEERING_QUEUE)) == 1
    assert len((await cli("project", "list"))[1]["data"]) == 1


async def test_a_restarting_api_is_waited_for(cli: Cli, api: ApiProcess) -> None:
    await api.stop()
    waiting = asyncio.ensure_future(cli("project", "list"))
    await api.start()
    assert (await waiting)[0] == 0
    await api.stop()
    try:
        code, answer = await cli("project", "list", API_RETRY_SECONDS="0.5")
    finally:
        await api.start()
    assert (code, answer["error"]) == (6, "unavailable")


async def test_the_rest_answers_as_well(cli: Cli, bus: RedisStreamClient) -> None:
    assert (await cli("respond", "Working on it"))[0] == 0
    ((_, output),) = await bus.read(PO_OUTPUT.at("w-1"))
    assert (output.text, output.is_final) == ("Working on it", False)
    for command in (("infra", "servers"), ("infra", "incidents"), ("diagnose", "api"), ("diagnose", "redis")):
        code, answer = await cli(*command)
        assert code == 0, answer
    assert (await cli("diagnose", "projects"))[0] == 0
