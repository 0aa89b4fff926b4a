"""The service as in production: its own process, a real Redis, real workers; the test speaks on the streams."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from redis.asyncio import Redis

from shared.contracts.queues.workers import (
    CreateWorkerCommand,
    DeleteWorkerCommand,
    DeveloperWorkerInput,
    DeveloperWorkerOutput,
    FailureCause,
    POWorkerInput,
    POWorkerOutput,
    RefusalCode,
    StatusWorkerCommand,
    WorkerCommand,
    WorkerResponse,
)
from shared.contracts.topology import (
    DEVELOPER_INPUT,
    DEVELOPER_OUTPUT,
    PO_INPUT,
    PO_OUTPUT,
    WORKER_COMMANDS,
    WORKER_RESPONSES_DEVELOPER,
    WORKER_RESPONSES_PO,
    Stream,
)
from shared.contracts.vocabulary import AgentType, ResultStatus, WorkerStatus, WorkerType
from shared.redis.client import RedisStreamClient
from worker_manager.records import derive_worker_id
from worker_manager.runtime import processes
from worker_manager.runtime.directory import WorkerDirectory
from worker_manager.testing import create_command, folder_for_workers, stop_workers

pytestmark = pytest.mark.service
T = TypeVar("T")
DEADLINE_SECONDS = 45.0


async def until(look: Callable[[], Awaitable[T | None]]) -> T:
    """Return the first answer that is not None; AssertionError after the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        found = await look()
        if found is not None:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("nothing within the deadline")


class Service:
    """The service's process and a caller's view of it."""

    def __init__(self, folder: Path, redis_url: str, bus: RedisStreamClient) -> None:
        self.folder = folder
        self.bus = bus
        self.environment = {
            "PATH": os.environ["PATH"],
            "REDIS_URL": redis_url,
            "API_URL": "http://127.0.0.1:9",  # nobody there: reports are retried, no command fails
            "API_TOKEN": "managers-own-token",
            "WORKERS_DIR": str(folder / "workers"),
            "WORKER_COMMAND": f'["{sys.executable}", "{folder / "scripted_worker.py"}"]',
            "RECONCILE_SECONDS": "0.2",
            "ATTEND_SECONDS": "0.1",
            "LOG_FORMAT": "console",
        }
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, **environment: str) -> None:
        with (self.folder / "manager.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "worker_manager", env=self.environment | environment, stdout=log, stderr=log
            )

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def terminate(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return await self.process.wait()

    async def stop_workers(self) -> None:
        await stop_workers(self.environment)

    async def stop_workers_by_command(self) -> str:
        command = (sys.executable, "-m", "worker_manager", "stop-workers")
        process = await asyncio.create_subprocess_exec(*command, env=self.environment, stderr=asyncio.subprocess.PIPE)
        _, said = await process.communicate()
        assert process.returncode == 0
        return said.decode()

    async def ask(self, command: WorkerCommand, stream: Stream[WorkerResponse]) -> WorkerResponse:
        await self.bus.publish(WORKER_COMMANDS, command)
        response: WorkerResponse = (await self.find(stream, command.request_id))[-1]
        return response

    async def find(self, stream: Stream[Any], request_id: str) -> list[Any]:
        async def look() -> list[Any] | None:
            found = [message for _, message in await self.bus.read(stream) if message.request_id == request_id]
            return found or None

        return await until(look)

    async def create(self, request_id: str = "run-1:worker:1", **options: Any) -> str:
        is_po = options.get("worker_type") is WorkerType.PO
        stream = WORKER_RESPONSES_PO if is_po else WORKER_RESPONSES_DEVELOPER
        response = await self.ask(command(request_id, **options), stream)
        assert response.success, response.error
        assert response.worker_id is not None
        return response.worker_id

    async def status(self, worker_id: str, wanted: WorkerStatus) -> WorkerResponse:
        """Ask until the worker has the wanted status."""
        asked = 0

        async def look() -> WorkerResponse | None:
            nonlocal asked
            asked += 1
            question = StatusWorkerCommand(request_id=f"status:{worker_id}:{wanted}:{asked}", worker_id=worker_id)
            response = await self.ask(question, WORKER_RESPONSES_DEVELOPER)
            return response if response.status is wanted else None

        return await until(look)

    async def tell(self, worker_id: str, prompt: str, request_id: str = "run-1:code:1") -> None:
        await self.bus.publish(
            DEVELOPER_INPUT.at(worker_id),
            DeveloperWorkerInput(request_id=request_id, task_id="task-1", project_id="p1", prompt=prompt, fence=4),
        )

    async def outputs(self, request_id: str = "run-1:code:1") -> list[DeveloperWorkerOutput]:
        return await self.find(DEVELOPER_OUTPUT, request_id)

    async def progress(self, worker_id: str, redis: Redis) -> None:
        """Wait until the worker took its message."""

        async def look() -> bool | None:
            return await redis.hget(f"worker:status:{worker_id}", "claimed_at") is not None or None

        await until(look)

    def directory(self, worker_id: str) -> WorkerDirectory:
        return WorkerDirectory(self.folder / "workers", worker_id)

    def pid(self, worker_id: str) -> int:
        instance = self.directory(worker_id).instance()
        assert instance is not None
        assert instance.pid is not None
        return instance.pid


def command(request_id: str, **options: Any) -> CreateWorkerCommand:
    return create_command(request_id, **({"user_id": None} | options))


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, socket_timeout=10) as client:
        yield client


@pytest.fixture
async def service(redis_url: str, bus: RedisStreamClient) -> AsyncIterator[Service]:
    with folder_for_workers() as folder:
        shutil.copy(Path(__file__).with_name("scripted_worker.py"), folder)
        service = Service(folder, redis_url, bus)
        await service.start()
        try:
            yield service
        finally:
            if service.process is not None and service.process.returncode is None:
                await service.kill()
            await service.stop_workers()


async def test_a_worker_is_created_works_and_is_deleted_without_a_trace(service: Service, redis: Redis) -> None:
    worker_id = await service.create(instructions="Be brief.")
    await service.status(worker_id, WorkerStatus.RUNNING)
    await service.tell(worker_id, "answer")
    (output,) = await service.outputs()
    assert output.status is ResultStatus.SUCCESS
    members = service.directory(worker_id).members()
    response = await service.ask(DeleteWorkerCommand(request_id="d", worker_id=worker_id), WORKER_RESPONSES_DEVELOPER)
    assert (response.success, response.status) == (True, WorkerStatus.STOPPED)
    assert processes.living(members) == []
    assert not service.directory(worker_id).path.exists()
    assert len(await service.outputs()) == 1
    assert await redis.exists(f"worker:heartbeat:{worker_id}", f"worker:session:{worker_id}") == 0


async def test_a_killed_worker_becomes_one_failed_output(service: Service, redis: Redis) -> None:
    worker_id = await service.create()
    await service.tell(worker_id, "sleep")
    await service.progress(worker_id, redis)
    os.kill(service.pid(worker_id), signal.SIGKILL)
    await service.status(worker_id, WorkerStatus.FAILED)
    (output,) = await service.outputs()
    assert (output.status, output.cause, output.exit_code) == (ResultStatus.FAILED, FailureCause.CRASH, 137)
    assert (output.task_id, output.fence) == ("task-1", 4)
    assert "killed (signal 9" in (output.error or "")


async def test_an_exit_code_is_named(service: Service) -> None:
    worker_id = await service.create()
    await service.tell(worker_id, "exit 5")
    (output,) = await service.outputs()
    assert "exit code 5" in (output.error or "")


async def test_a_message_that_waits_behind_the_death_is_answered_too(service: Service, redis: Redis) -> None:
    worker_id = await service.create()
    await service.tell(worker_id, "sleep")
    await service.progress(worker_id, redis)
    await service.tell(worker_id, "answer", "run-1:code:2")
    os.kill(service.pid(worker_id), signal.SIGKILL)
    assert [output.status for output in await service.outputs("run-1:code:2")] == [ResultStatus.FAILED]
    assert len(await service.outputs()) == 1


async def test_a_worker_outlives_a_killed_manager_and_answers(service: Service) -> None:
    worker_id = await service.create()
    await service.status(worker_id, WorkerStatus.RUNNING)
    pid = service.pid(worker_id)
    await service.kill()
    await service.tell(worker_id, "answer")
    assert (await service.outputs())[0].status is ResultStatus.SUCCESS
    await service.start()
    await service.status(worker_id, WorkerStatus.RUNNING)
    assert service.pid(worker_id) == pid


async def test_a_death_while_the_manager_was_dead_is_reported_once_by_the_next(service: Service, redis: Redis) -> None:
    worker_id = await service.create()
    await service.tell(worker_id, "sleep")
    await service.progress(worker_id, redis)
    await service.kill()
    os.kill(service.pid(worker_id), signal.SIGKILL)
    await service.start()
    await service.status(worker_id, WorkerStatus.FAILED)
    await service.kill()
    await service.start()
    await service.status(worker_id, WorkerStatus.FAILED)
    assert len(await service.outputs()) == 1


async def test_an_adopted_worker_is_watched(service: Service, redis: Redis) -> None:
    worker_id = await service.create()
    await service.kill()
    await service.start()
    await service.tell(worker_id, "sleep")
    await service.progress(worker_id, redis)
    os.kill(service.pid(worker_id), signal.SIGKILL)
    assert len(await service.outputs()) == 1


async def test_a_command_delivered_again_makes_one_worker(service: Service) -> None:
    for _ in range(3):
        await service.bus.publish(WORKER_COMMANDS, command("r"))

    async def look() -> list[WorkerResponse] | None:
        found = [response for _, response in await service.bus.read(WORKER_RESPONSES_DEVELOPER)]
        return found if len(found) == 3 else None

    responses = await until(look)
    assert {(response.success, response.worker_id) for response in responses} == {(True, derive_worker_id("r"))}
    assert [entry.name for entry in (service.folder / "workers").glob("w*")] == [derive_worker_id("r")]


async def test_the_managers_secrets_are_not_in_a_workers_environment(service: Service) -> None:
    worker_id = await service.create(env_vars={"FEATURE": "on"}, allowed_commands=["project.*"])
    environ = Path(f"/proc/{service.pid(worker_id)}/environ").read_bytes().decode()
    assert "managers-own-token" not in environ
    variables = dict(entry.split("=", 1) for entry in environ.split("\0") if entry)
    assert variables["FEATURE"] == "on"
    assert variables["WORKSPACE"] == str(service.directory(worker_id).workspace)
    assert "API_TOKEN" not in variables
    assert "WORKERS_DIR" not in variables


async def test_losing_all_of_redis_keeps_live_workers(service: Service, redis: Redis) -> None:
    worker_id = await service.create()
    await service.status(worker_id, WorkerStatus.RUNNING)
    pid = service.pid(worker_id)
    await redis.flushdb()

    async def look() -> bool | None:
        return await redis.hget(f"worker:status:{worker_id}", "create_request_id") == b"run-1:worker:1" or None

    await until(look)
    await service.tell(worker_id, "answer")
    assert (await service.outputs())[0].status is ResultStatus.SUCCESS
    assert service.pid(worker_id) == pid


async def test_a_full_house_makes_creations_wait(service: Service) -> None:
    await service.kill()
    await service.start(MAX_CONCURRENT_WORKERS="1")
    first = await service.create("a")
    await service.bus.publish(WORKER_COMMANDS, command("b"))
    await service.status(derive_worker_id("b"), WorkerStatus.STARTING)
    assert not service.directory(derive_worker_id("b")).path.exists()
    await service.ask(DeleteWorkerCommand(request_id="d", worker_id=first), WORKER_RESPONSES_DEVELOPER)
    (response,) = await service.find(WORKER_RESPONSES_DEVELOPER, "b")
    assert response.success


async def test_a_real_key_without_a_sandbox_is_refused(service: Service) -> None:
    await service.kill()
    await service.start(ANTHROPIC_API_KEY="sk-ant-real", DEFAULT_AUTH_MODE="api_key")
    response = await service.ask(command("r", agent_type=AgentType.CLAUDE), WORKER_RESPONSES_DEVELOPER)
    assert (response.success, response.code) == (False, RefusalCode.UNSANDBOXED_REFUSED)


async def test_a_po_worker_is_paused_and_woken_by_a_message(service: Service) -> None:
    await service.kill()
    await service.start(PO_PAUSE_AFTER_SECONDS="0.3")
    worker_id = await service.create("po:1", worker_type=WorkerType.PO)
    directory = service.directory(worker_id)

    async def is_paused() -> bool | None:
        instance = directory.instance()
        return (instance is not None and instance.state.value == "paused") or None

    await until(is_paused)
    message = POWorkerInput(request_id="chat:1", user_id="u", prompt="answer")
    await service.bus.publish(PO_INPUT.at(worker_id), message)
    outputs: list[POWorkerOutput] = await service.find(PO_OUTPUT.at(worker_id), "chat:1")
    assert outputs[0].text == "hello"


async def test_a_manager_asked_to_end_leaves_its_workers_alone(service: Service) -> None:
    worker_id = await service.create()
    assert await service.terminate() == 0
    assert service.directory(worker_id).instance() is not None
    assert processes.living(service.directory(worker_id).members()) != []
    assert await service.stop_workers_by_command() == "worker-manager: 1 workers ended\n"
    assert list((service.folder / "workers").glob("w*")) == []


async def test_an_unavailable_runtime_is_refused_at_the_start(service: Service) -> None:
    await service.kill()
    await service.start(WORKER_RUNTIME="docker")
    assert service.process is not None
    assert await service.process.wait() == 1
    assert "needs WORKER_NETWORK" in (service.folder / "manager.log").read_text()


async def test_the_wrapper_itself_runs_as_a_process_worker(service: Service, redis: Redis) -> None:
    await service.kill()
    await service.start(WORKER_COMMAND="[]")
    worker_id = await service.create(agent_type=AgentType.MOCK, instructions="Be brief.")
    await service.status(worker_id, WorkerStatus.RUNNING)
    await service.tell(worker_id, "do something")
    (output,) = await service.outputs()
    assert output.status is ResultStatus.SUCCESS, output.error

    async def is_free() -> bool | None:
        return await redis.hget(f"worker:status:{worker_id}", "request_id") is None or None

    await until(is_free)
    await service.ask(DeleteWorkerCommand(request_id="d", worker_id=worker_id), WORKER_RESPONSES_DEVELOPER)
    assert not service.directory(worker_id).path.exists()
