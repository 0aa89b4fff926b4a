"""worker-manager as it is deployed, seen from the streams: a worker is made, works and is deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.base import new_id
from shared.contracts.queues.workers import (
    DeleteWorkerCommand,
    DeveloperWorkerInput,
    DeveloperWorkerOutput,
    FailureCause,
    WorkerResponse,
)
from shared.contracts.topology import (
    DEVELOPER_INPUT,
    DEVELOPER_OUTPUT,
    WORKER_COMMANDS,
    WORKER_RESPONSES_DEVELOPER,
    Stream,
)
from shared.contracts.vocabulary import ResultStatus, WorkerStatus
from shared.redis.client import RedisStreamClient
from shared.testing.deployed import Deployed, DeployedContract, Surroundings, deployed
from shared.testing.waiting import eventually
from worker_manager.testing import create_command, folder_for_workers, stop_workers


class TestDeployedWorkerManager(DeployedContract):
    @pytest.fixture
    async def service(
        self, surroundings: Surroundings, outside_bus: RedisStreamClient, tmp_path: Path
    ) -> AsyncIterator[Deployed]:
        self.bus = outside_bus
        with folder_for_workers() as folder:
            more = {"WORKER_RUNTIME": "process", "WORKERS_DIR": str(folder / "workers")}
            environment = surroundings.environment("worker-manager") | more
            log = tmp_path / "manager.log"
            async with deployed("worker-manager", "worker_manager", environment, log) as manager:
                yield manager
            if (folder / "workers").exists():  # where the manager was no container
                await stop_workers(environment)

    async def give(self) -> str:
        request_id = f"{new_id()}:worker:1"
        await self.bus.publish(WORKER_COMMANDS, create_command(request_id))
        return request_id

    async def see(self, given: str) -> None:
        """A worker that is a process of the manager's container ends with it: its work is answered all the same."""
        output = await self._work(given)
        assert output.status is ResultStatus.SUCCESS or output.cause is FailureCause.CRASH, output.error

    async def test_a_worker_works_and_is_deleted(self, service: Deployed) -> None:
        given = await self.give()
        output = await self._work(given)
        assert output.status is ResultStatus.SUCCESS, output.error
        end = DeleteWorkerCommand(request_id=f"{given}:end", worker_id=await self._worker(given))
        await self.bus.publish(WORKER_COMMANDS, end)
        deleted = await self._answer(WORKER_RESPONSES_DEVELOPER, end.request_id)
        assert (deleted.success, deleted.status) == (True, WorkerStatus.STOPPED)

    async def _worker(self, given: str) -> str:
        created: WorkerResponse = await self._answer(WORKER_RESPONSES_DEVELOPER, given)
        assert created.success, created.error
        return created.worker_id or ""

    async def _work(self, given: str) -> DeveloperWorkerOutput:
        worker_id = await self._worker(given)
        work = DeveloperWorkerInput(request_id=f"{given}:work", task_id="t", project_id="p", prompt="do it", fence=3)
        await self.bus.publish(DEVELOPER_INPUT.at(worker_id), work)
        output: DeveloperWorkerOutput = await self._answer(DEVELOPER_OUTPUT, work.request_id)
        assert output.fence == work.fence
        return output

    async def _answer(self, stream: Stream[Any], request_id: str) -> Any:
        async def is_there() -> bool:
            return any(message.request_id == request_id for _, message in await self.bus.read(stream))

        await eventually(is_there, 60)
        return next(message for _, message in await self.bus.read(stream) if message.request_id == request_id)
