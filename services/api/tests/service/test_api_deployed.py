"""The api and its relay as they are deployed, seen from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.clients.api import ApiClient
from shared.contracts.dto.work import RunEventAppend
from shared.contracts.queues.events import RunEventPayload
from shared.contracts.vocabulary import RunEventType
from shared.redis.client import RedisStreamClient
from shared.testing.api_process import TEST_SECRET
from shared.testing.api_scenes import claimed_run
from shared.testing.deployed import Deployed, DeployedContract, Surroundings, deployed
from shared.testing.waits import await_outbox_flush

API_PORT = 8000


class TestDeployedApi(DeployedContract):
    """What it was given, a run with an event, is there whatever happened to the process."""

    @pytest.fixture
    async def service(self, surroundings: Surroundings, tmp_path: Path) -> AsyncIterator[Deployed]:
        environment = {"DATABASE_URL": surroundings.database_url, "API_JWT_SECRET": TEST_SECRET}
        log = tmp_path / "api.log"
        async with deployed("api", "orchestrator_api", environment, log, port=API_PORT) as api:
            async with ApiClient(api.base_url, surroundings.token(), retry_seconds=20) as self.api:
                yield api

    async def give(self) -> str:
        run = await claimed_run(self.api)
        event = RunEventAppend(type=RunEventType.AGENT_MESSAGE, payload=RunEventPayload(message="hello"))
        await self.api.append_events(run.id, [event])
        return run.id

    async def see(self, given: str) -> None:
        events = await self.api.list_events(given)
        assert [(event.seq, event.type) for event in events] == [
            (1, RunEventType.RUN_STARTED),
            (2, RunEventType.AGENT_MESSAGE),
        ]


class TestDeployedRelay(DeployedContract):
    """What is written through the api appears on the stream, in order and once for each reader who drops repeats."""

    @pytest.fixture
    async def service(
        self, surroundings: Surroundings, outside_api: ApiClient, outside_bus: RedisStreamClient, tmp_path: Path
    ) -> AsyncIterator[Deployed]:
        self.api, self.bus = outside_api, outside_bus
        environment = {"DATABASE_URL": surroundings.database_url, "REDIS_URL": surroundings.redis_url}
        log = tmp_path / "relay.log"
        async with deployed("relay", "orchestrator_api.relay", environment, log, port=API_PORT) as relay:
            yield relay

    async def give(self) -> str:
        run = await claimed_run(self.api)
        event = RunEventAppend(type=RunEventType.AGENT_MESSAGE, payload=RunEventPayload(message="hello"))
        await self.api.append_events(run.id, [event])
        return run.id

    async def see(self, given: str) -> None:
        published = await await_outbox_flush(self.api, self.bus, given)
        assert [event.seq for event in published] == [1, 2]
