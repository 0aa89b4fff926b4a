"""For tests: a whole worker manager in memory, with fakes behind every port, and what tests of the real one share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from redis.asyncio import Redis

from shared.contracts.queues.workers import (
    CreateWorkerCommand,
    DeleteWorkerCommand,
    DeveloperWorkerInput,
    DeveloperWorkerOutput,
    StatusWorkerCommand,
    WorkerCommand,
    WorkerConfig,
    WorkerContext,
    WorkerResponse,
)
from shared.contracts.topology import DEVELOPER_INPUT, DEVELOPER_OUTPUT, WORKER_COMMANDS
from shared.contracts.vocabulary import AgentType, WorkerType
from shared.testing import FakeBus, FakeClock
from shared.testing.api import FakeApi
from worker_manager.app import assemble
from worker_manager.consumer import WorkerCommandConsumer
from worker_manager.deaths import WRAPPER_GROUP
from worker_manager.idle import IdleKeeper, IdlePolicy
from worker_manager.manager import WorkerManager
from worker_manager.reconciler import Reconciler
from worker_manager.records import derive_worker_id
from worker_manager.responses import STREAMS
from worker_manager.runtime.directory import list_directories
from worker_manager.runtime.fake import FakeRuntime
from worker_manager.settings import Settings
from worker_manager.status_store import StatusStore
from worker_manager.stopping import stop_workers as stop_all


async def stop_workers(environment: Mapping[str, str]) -> None:
    """End the workers of a manager that is gone, with the settings it had: workers that are processes outlive it."""
    root = Path(environment["WORKERS_DIR"])
    if not root.is_dir() or not list_directories(root):
        return
    address, token = SecretStr(environment["REDIS_URL"]), SecretStr(environment["API_TOKEN"])
    settings = Settings(workers_dir=root, redis_url=address, api_url=environment["API_URL"], api_token=token)
    await stop_all(settings)


def create_command(
    request_id: str = "run-1:worker:1",
    *,
    worker_type: WorkerType = WorkerType.DEVELOPER,
    user_id: str | None = "user-1",
    **config: Any,
) -> CreateWorkerCommand:
    """Return a valid command with as little said as possible."""
    fields = {"name": "w", "worker_type": worker_type, "agent_type": AgentType.MOCK, "pooled": False} | config
    context = WorkerContext(user_id=user_id, task_id="task-1", run_id="run-1")
    return CreateWorkerCommand(request_id=request_id, config=WorkerConfig(**fields), context=context)


def developer_input(request_id: str = "run-1:code:1") -> DeveloperWorkerInput:
    return DeveloperWorkerInput(
        request_id=request_id, task_id="task-1", project_id="p1", run_id="run-1", prompt="do it", fence=7
    )


@contextmanager
def folder_for_workers() -> Iterator[Path]:
    """Yield a temporary folder that workers under users of their own may enter; a test's own folders are closed."""
    folder = Path(tempfile.mkdtemp(prefix="worker-manager-"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)


class InMemoryManager:
    """The service with a runtime, a bus, an api and a clock that a test controls; only the Redis client is given."""

    def __init__(self, redis: Redis, *, is_sandboxed: bool = True, api: FakeApi | None = None, **settings: Any) -> None:
        self.settings = Settings(**settings)
        self.clock = FakeClock()
        self.runtime = FakeRuntime(is_sandboxed=is_sandboxed, clock=self.clock)
        self.bus = FakeBus()
        self.api = api or FakeApi(self.clock)
        self.store = StatusStore(redis)
        self.redis = redis
        self.parts = assemble(
            self.settings, runtime=self.runtime, store=self.store, bus=self.bus, api=self.api, clock=self.clock
        )
        self.manager = WorkerManager(self.parts)
        self.consumer = WorkerCommandConsumer(self.bus, self.manager, self.parts.queue, name="worker-manager-1")
        self.reconciler = Reconciler(self.manager, self.parts, retain_seconds=self.settings.worker_retain_seconds)
        policy = IdlePolicy(self.settings.po_pause_after_seconds, self.settings.po_end_after_seconds)
        self.idle = IdleKeeper(self.manager, self.runtime, self.store, self.bus, self.clock, policy)

    async def send(self, command: WorkerCommand) -> list[WorkerResponse]:
        """Publish a command, handle it, and return every answer to its request so far."""
        await self.bus.publish(WORKER_COMMANDS, command)
        await self.bus.drain_once(self.consumer.commands())
        return await self.answers(command.request_id)

    async def answers(self, request_id: str) -> list[WorkerResponse]:
        found = [response for stream in STREAMS.values() for response in await self.bus.messages(stream)]
        return [response for response in found if response.request_id == request_id]

    async def create(self, request_id: str = "run-1:worker:1", **options: Any) -> str:
        """Create a worker and return its id."""
        (response,) = await self.send(create_command(request_id, **options))
        assert response.success, response.error
        return derive_worker_id(request_id)

    async def delete(self, worker_id: str, request_id: str = "delete-1") -> WorkerResponse:
        return (await self.send(DeleteWorkerCommand(request_id=request_id, worker_id=worker_id)))[-1]

    async def status(self, worker_id: str, request_id: str = "status-1") -> WorkerResponse:
        return (await self.send(StatusWorkerCommand(request_id=request_id, worker_id=worker_id)))[-1]

    async def take(self, worker_id: str, message: DeveloperWorkerInput) -> str:
        """Do what the wrapper does when it takes a message: read it, then write it into the status hash."""
        stream = DEVELOPER_INPUT.at(worker_id)
        await self.bus.publish(stream, message)
        (received,) = await self.bus.fetch(stream, WRAPPER_GROUP, worker_id)
        fields = {
            "request_id": message.request_id,
            "stage": message.stage.value,
            "attempt": str(message.attempt),
            "fence": str(message.fence),
            "task_id": message.task_id,
            "run_id": message.run_id or "",
            "correlation_id": message.correlation_id,
            "input_stream": stream.name,
            "input_entry_id": received.entry_id,
            "claimed_at": "1",
        }
        await self.store.put(worker_id, fields)
        return received.entry_id

    async def die(self, worker_id: str, exit_code: int | None, *, is_oom: bool = False) -> None:
        """End a worker from outside and let the service hear of it."""
        await self.consumer.on_runtime_event(self.runtime.die(worker_id, exit_code, is_oom=is_oom))

    async def outputs(self) -> list[DeveloperWorkerOutput]:
        return await self.bus.messages(DEVELOPER_OUTPUT)

    async def hash_of(self, worker_id: str) -> dict[str, str]:
        values = await self.redis.hgetall(f"worker:status:{worker_id}")
        return {_text(name): _text(value) for name, value in values.items()}


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
