"""The scheduler as it is deployed, seen from outside: servers that wait are announced, results are recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.clients.api import ApiClient
from shared.contracts.base import new_id
from shared.contracts.dto.infrastructure import ServerCreate
from shared.contracts.queues.events import ProvisionerResult
from shared.contracts.topology import PROVISIONER_QUEUE, PROVISIONER_RESULTS
from shared.contracts.vocabulary import ResultStatus, ServerStatus
from shared.redis.client import RedisStreamClient
from shared.testing.deployed import Deployed, DeployedContract, Surroundings, deployed
from shared.testing.waiting import eventually


class TestDeployedScheduler(DeployedContract):
    @pytest.fixture
    async def service(
        self, surroundings: Surroundings, outside_api: ApiClient, outside_bus: RedisStreamClient, tmp_path: Path
    ) -> AsyncIterator[Deployed]:
        self.api, self.bus = outside_api, outside_bus
        environment = surroundings.environment("scheduler") | {"PROVISIONER_INTERVAL_SECONDS": "0.3"}
        log = tmp_path / "scheduler.log"
        async with deployed("scheduler", "orchestrator_scheduler", environment, log) as scheduler:
            yield scheduler

    async def give(self) -> str:
        server = await self.api.create_server(ServerCreate(handle=f"s-{new_id()[:12]}", host="192.0.2.7"))
        return server.handle

    async def see(self, given: str) -> None:
        async def is_asked_for() -> bool:
            return any(message.server_handle == given for _, message in await self.bus.read(PROVISIONER_QUEUE))

        await eventually(is_asked_for, 60)
        result = ProvisionerResult(
            request_id=f"r-{given}", server_handle=given, server_ip="192.0.2.8", status=ResultStatus.SUCCESS
        )
        await self.bus.publish(PROVISIONER_RESULTS, result)

        async def is_active() -> bool:
            server = await self.api.get_server(given)
            return (server.status, server.host) == (ServerStatus.ACTIVE, "192.0.2.8")

        await eventually(is_active)
