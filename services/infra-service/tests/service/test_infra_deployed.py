"""infra-service as it is deployed, seen from outside: a server is asked for on the stream, real Ansible prepares it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra_service.testing import TOKEN
from shared.clients.api import ApiClient
from shared.contracts.base import new_id
from shared.contracts.dto.infrastructure import ServerCreate
from shared.contracts.queues.events import ProvisionerMessage
from shared.contracts.topology import PROVISIONER_QUEUE, PROVISIONER_RESULTS
from shared.contracts.vocabulary import ResultStatus
from shared.redis.client import RedisStreamClient
from shared.testing.deployed import Deployed, DeployedContract, Surroundings, deployed
from shared.testing.waiting import eventually

PLAY_SECONDS = 90


class TestDeployedInfraService(DeployedContract):
    # A play that outlives the drain deadline is handed back, and the exit code says so.
    drained = frozenset({0, 1})

    @pytest.fixture
    async def service(
        self,
        surroundings: Surroundings,
        outside_api: ApiClient,
        outside_bus: RedisStreamClient,
        tmp_path: Path,
        open_folder: Path,
    ) -> AsyncIterator[Deployed]:
        self.api, self.bus = outside_api, outside_bus
        more = {"SERVER_DIR": str(open_folder / "server"), "DEPLOY_TOKEN": TOKEN}
        environment = surroundings.environment("infra-service") | more
        async with deployed("infra-service", "infra_service", environment, tmp_path / "infra.log") as infra:
            yield infra

    async def give(self) -> str:
        handle = f"s-{new_id()[:12]}"
        await self.api.create_server(ServerCreate(handle=handle, host="127.0.0.1", is_embedded=True))
        await self.bus.publish(PROVISIONER_QUEUE, ProvisionerMessage(server_handle=handle))
        return handle

    async def see(self, given: str) -> None:
        async def is_answered() -> bool:
            return any(result.server_handle == given for _, result in await self.bus.read(PROVISIONER_RESULTS))

        await eventually(is_answered, PLAY_SECONDS)
        results = [result for _, result in await self.bus.read(PROVISIONER_RESULTS) if result.server_handle == given]
        assert [(result.status, result.errors) for result in results] == [(ResultStatus.SUCCESS, [])]
