"""langgraph as it is deployed, seen from outside: a task becomes a run, and the run asks for a repository."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.clients.api import ApiClient
from shared.contracts.queues.work import EngineeringMessage
from shared.contracts.topology import ENGINEERING_QUEUE, SCAFFOLDER_QUEUE
from shared.redis.client import RedisStreamClient
from shared.testing.api_scenes import new_project, new_task
from shared.testing.deployed import Deployed, DeployedContract, Surroundings, deployed
from shared.testing.waiting import eventually


def _key_file(folder: Path) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "app.pem"
    path.write_bytes(pem)
    return path


class TestDeployedLanggraph(DeployedContract):
    @pytest.fixture
    async def service(
        self, surroundings: Surroundings, outside_api: ApiClient, outside_bus: RedisStreamClient, tmp_path: Path
    ) -> AsyncIterator[Deployed]:
        self.api, self.bus = outside_api, outside_bus
        environment = surroundings.environment("langgraph") | {
            "CHECKPOINT_DATABASE_URL": surroundings.database_url,
            "GITHUB_API_URL": "http://127.0.0.1:1",
            "GITHUB_APP_ID": "1",
            "GITHUB_APP_PRIVATE_KEY_FILE": str(_key_file(tmp_path)),
            "ATTEMPT_SECRET": "an-attempt-secret",
            "DEPLOY_TOKEN": "a-deploy-token",
        }
        async with deployed("langgraph", "agent_graphs", environment, tmp_path / "langgraph.log") as langgraph:
            yield langgraph

    async def give(self) -> str:
        project = await new_project(self.api)
        task = await new_task(self.api, project)
        message = EngineeringMessage(task_id=task.id, project_id=project.id, user_id=project.owner_id)
        await self.bus.publish(ENGINEERING_QUEUE, message)
        return task.id

    async def see(self, given: str) -> None:
        project_id = (await self.api.get_task(given)).project_id

        async def is_asked_for() -> bool:
            return any(message.project_id == project_id for _, message in await self.bus.read(SCAFFOLDER_QUEUE))

        await eventually(is_asked_for, 60)
        (run,) = await self.api.list_runs(task_id=given)
        assert run.project_id == project_id
