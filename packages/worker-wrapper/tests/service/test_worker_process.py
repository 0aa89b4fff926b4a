"""The worker as it runs in production: its own process, its own signals, a real Redis that comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis.asyncio import Redis

from shared.contracts.queues.workers import DeveloperWorkerInput, DeveloperWorkerOutput, WorkerLifecycleEvent
from shared.contracts.topology import DEVELOPER_INPUT, DEVELOPER_OUTPUT, WORKER_LIFECYCLE
from shared.contracts.vocabulary import ResultStatus, Stage
from shared.redis.client import RedisStreamClient
from shared.testing.redis_server import running_redis

pytestmark = pytest.mark.service
SECONDS = 20.0
SLEEPY = {"match": "sleep", "delay_seconds": 60}
PLAN = {"summary": "s", "steps": ["a"]}


class Worker:
    """A wrapper process and what it wrote to stderr."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @property
    def is_running(self) -> bool:
        return self.process.returncode is None

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def exit_code(self) -> int:
        return await asyncio.wait_for(self.process.wait(), SECONDS)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@asynccontextmanager
async def running_worker(url: str, folder: Path, rules: list[dict[str, Any]], **env: str) -> AsyncIterator[Worker]:
    script = folder / "script.json"
    script.write_text(json.dumps(rules))
    for name in ("workspace", "home"):
        (folder / name).mkdir(exist_ok=True)
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "WORKSPACE": str(folder / "workspace"),
        "WORKER_ID": "w-1",
        "AGENT_TYPE": "mock",
        "WORKER_POOLED": "0",
        "REDIS_URL": url,
        "MOCK_AGENT_SCRIPT": str(script),
        "KILL_GRACE_SECONDS": "0.5",
        **env,
    }
    with (folder / "worker.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "worker_wrapper", env=environ, stderr=log)
    worker = Worker(process)
    try:
        yield worker
    finally:
        if worker.is_running:
            process.kill()
            await process.wait()


async def until(condition: Callable[[], Awaitable[Any]], what: str, seconds: float = SECONDS) -> Any:
    """Wait until a condition holds and return its value; the message says what did not come."""
    end = time.monotonic() + seconds
    while not (value := await condition()):
        assert time.monotonic() < end, f"{what} did not come in {seconds:g} s"
        await asyncio.sleep(0.02)
    return value


def order(request_id: str, prompt: str = "[stage:plan]\nPlan", **changes: Any) -> DeveloperWorkerInput:
    known: dict[str, Any] = {
        "request_id": request_id,
        "task_id": "task-1",
        "project_id": "project-1",
        "prompt": prompt,
        "stage": Stage.PLAN,
    }
    return DeveloperWorkerInput(**{**known, **changes})


async def events(bus: RedisStreamClient) -> list[str]:
    found: list[tuple[str, WorkerLifecycleEvent]] = await bus.read(WORKER_LIFECYCLE)
    return [event.event.value for _, event in found]


async def answers(bus: RedisStreamClient) -> list[DeveloperWorkerOutput]:
    return [output for _, output in await bus.read(DEVELOPER_OUTPUT)]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    async with Redis.from_url(redis_url, socket_timeout=30, decode_responses=True) as client:
        yield client


async def test_a_message_written_before_the_worker_lives_is_answered(
    bus: RedisStreamClient, redis: Any, redis_url: str, tmp_path: Path
) -> None:
    await bus.publish(DEVELOPER_INPUT.at("w-1"), order("r-1"))
    async with running_worker(redis_url, tmp_path, [{"match": "", "result": PLAN}]) as worker:
        (output,) = await until(lambda: answers(bus), "the answer")
        assert output.status is ResultStatus.SUCCESS
        ttl = await redis.ttl("worker:heartbeat:w-1")
        assert 0 < ttl <= 30
        await bus.publish(DEVELOPER_INPUT.at("w-1"), order("r-2"))

        async def both() -> bool:
            return len(await answers(bus)) == 2

        await until(both, "the second answer")
        worker.terminate()
        assert await worker.exit_code() == 0
    assert await events(bus) == ["started", "completed", "completed", "stopped"]


async def test_sigterm_during_a_turn_ends_the_agent_and_hands_the_message_back(
    bus: RedisStreamClient, redis: Any, redis_url: str, tmp_path: Path
) -> None:
    await bus.publish(DEVELOPER_INPUT.at("w-1"), order("r-1", "sleep"))
    async with running_worker(redis_url, tmp_path, [SLEEPY]) as worker:

        async def agents() -> list[psutil.Process]:
            return worker.children()

        (agent,) = await until(agents, "the agent")
        worker.terminate()
        assert await worker.exit_code() == 0
        assert not agent.is_running()
    assert await answers(bus) == []
    assert (await events(bus))[-1] == "stopped"
    pending = await redis.xpending("worker:developer:w-1:input", "worker-wrapper")
    assert pending["pending"] == 1
    assert await redis.hget("worker:status:w-1", "request_id") == "r-1"
    async with running_worker(redis_url, tmp_path, [{"match": "", "result": PLAN}]):
        (output,) = await until(lambda: answers(bus), "the answer of the next life")
        assert output.request_id == "r-1"


async def test_a_killed_agent_costs_one_answer_and_not_the_worker(
    bus: RedisStreamClient, redis_url: str, tmp_path: Path
) -> None:
    await bus.publish(DEVELOPER_INPUT.at("w-1"), order("r-1", "sleep"))
    async with running_worker(redis_url, tmp_path, [SLEEPY]) as worker:

        async def agents() -> list[psutil.Process]:
            return worker.children()

        (agent,) = await until(agents, "the agent")
        agent.kill()
        (output,) = await until(lambda: answers(bus), "the answer")
        assert output.status is ResultStatus.ERROR
        assert "SIGKILL" in (output.error or "")
        assert worker.is_running


async def test_an_answer_survives_a_redis_that_is_gone_while_the_agent_works(tmp_path: Path) -> None:
    rules = [{"match": "", "delay_seconds": 0.5, "result": PLAN, "append": {str(tmp_path / "runs"): "x"}}]
    async with running_redis(appendonly=True) as server:
        bus = RedisStreamClient(url=server.url, service="test")
        async with running_worker(server.url, tmp_path, rules) as worker:
            await bus.publish(DEVELOPER_INPUT.at("w-1"), order("r-1"))

            async def agents() -> list[psutil.Process]:
                return worker.children()

            await until(agents, "the agent")
            await server.stop()

            async def is_kept() -> bool:
                return any((tmp_path / "home" / ".worker" / "outbox").glob("*.json"))

            await until(is_kept, "the answer on disk")
            await server.start()

            async def found() -> list[DeveloperWorkerOutput]:
                with contextlib.suppress(ConnectionError):
                    return await answers(bus)
                return []

            (output,) = await until(found, "the answer")
            assert output.status is ResultStatus.SUCCESS
            worker.terminate()
            assert await worker.exit_code() == 0
        await bus.close()
    assert (tmp_path / "runs").read_text() == "x"


async def test_a_redis_that_stays_away_ends_the_worker_and_the_answer_is_sent_by_its_next_life(tmp_path: Path) -> None:
    rules = [{"match": "", "delay_seconds": 0.5, "result": PLAN, "append": {str(tmp_path / "runs"): "x"}}]
    async with running_redis(appendonly=True) as server:
        bus = RedisStreamClient(url=server.url, service="test")
        await bus.publish(DEVELOPER_INPUT.at("w-1"), order("r-1"))
        async with running_worker(server.url, tmp_path, rules, REDIS_PATIENCE_SECONDS="1") as worker:

            async def agents() -> list[psutil.Process]:
                return worker.children()

            await until(agents, "the agent")
            await server.stop()
            assert await worker.exit_code() == 1
        await server.start()
        async with running_worker(server.url, tmp_path, rules):
            (output,) = await until(lambda: answers(bus), "the answer")
            assert output.request_id == "r-1"
        await bus.close()
    assert (tmp_path / "runs").read_text() == "x"


async def test_a_worker_without_the_right_to_create_groups_waits_for_the_manager(
    bus: RedisStreamClient, redis: Any, redis_url: str, tmp_path: Path
) -> None:
    await redis.execute_command("ACL", "SETUSER", "w-1", "reset", "on", ">pw-123", "~*", "+@all", "-xgroup")
    try:
        url = redis_url.replace("redis://", "redis://w-1:pw-123@", 1)
        await bus.publish(DEVELOPER_INPUT.at("w-1"), order("r-1"))
        async with running_worker(url, tmp_path, [{"match": "", "result": PLAN}]) as worker:

            async def is_started() -> bool:
                return "started" in await events(bus)

            await until(is_started, "the started event")
            assert worker.is_running
            assert await answers(bus) == []
            await bus.ensure_group(DEVELOPER_INPUT.at("w-1"), "worker-wrapper")
            await until(lambda: answers(bus), "the answer")
    finally:
        await redis.execute_command("ACL", "DELUSER", "w-1")


@pytest.mark.parametrize(
    ("arguments", "environ", "code"), [(["nonsense"], {}, 2), ([], {}, 2), ([], {"WORKER_ID": "w", "POOLED": "?"}, 2)]
)
async def test_wrong_usage_and_wrong_settings_say_so(arguments: list[str], environ: dict[str, str], code: int) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker_wrapper", *arguments), env=environ, stderr=asyncio.subprocess.PIPE
    )
    _, stderr = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == code
    assert b"Traceback" not in stderr
    assert stderr.strip()


async def test_the_healthcheck_names_what_is_missing_and_loads_nothing_heavy(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "WORKSPACE": str(tmp_path), "PATH": "/nowhere"}
    code = (
        "import sys; sys.argv[1:] = ['healthcheck']; from worker_wrapper.__main__ import main; code = main(); "
        "print(code, sorted({'redis', 'pydantic', 'asyncio', 'structlog'} & set(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), env={**environ, "AGENT_TYPE": "factory"}, stdout=asyncio.subprocess.PIPE
    )
    stdout, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    report, verdict = stdout.decode().splitlines()
    assert json.loads(report) == {"healthy": False, "problems": ["droid is not on the PATH", "ps is not on the PATH"]}
    assert verdict == "1 []"
