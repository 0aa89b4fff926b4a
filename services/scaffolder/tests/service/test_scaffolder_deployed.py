"""The scaffolder as it is deployed, seen from outside: a project gets its repository on an emulated GitHub."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from emulators.github.fixtures import running_github
from shared.clients.api import ApiClient
from shared.contracts.base import new_id
from shared.contracts.dto.work import ProjectCreate
from shared.contracts.queues.work import ScaffolderMessage
from shared.contracts.topology import SCAFFOLDER_QUEUE, SCAFFOLDER_RESULTS
from shared.contracts.vocabulary import ProjectStatus, ResultStatus
from shared.redis.client import RedisStreamClient
from shared.testing.deployed import Deployed, DeployedContract, Surroundings, deployed
from shared.testing.settings import StackSettings
from shared.testing.waiting import eventually


async def _environment(stack: AsyncExitStack, folder: Path) -> dict[str, str]:
    """Return what a process is told about an emulated GitHub of its own."""
    github = await stack.enter_async_context(running_github(folder))
    key = folder / "app.private.pem"
    return {
        "GITHUB_API_URL": github.base_url,
        "GITHUB_WEB_URL": github.base_url,
        "GITHUB_APP_ID": str(github.app_id),
        "GITHUB_APP_PRIVATE_KEY_FILE": str(key),
        "GITHUB_OWNER": github.owner,
    }


class TestDeployedScaffolder(DeployedContract):
    @pytest.fixture
    async def service(
        self, surroundings: Surroundings, outside_api: ApiClient, outside_bus: RedisStreamClient, tmp_path: Path
    ) -> AsyncIterator[Deployed]:
        self.api, self.bus = outside_api, outside_bus
        async with AsyncExitStack() as stack:
            environment = surroundings.environment("scaffolder")
            if not StackSettings().stack:
                environment |= await _environment(stack, tmp_path / "github")
            log = tmp_path / "scaffolder.log"
            yield await stack.enter_async_context(deployed("scaffolder", "scaffolder", environment, log))

    async def give(self) -> str:
        name = f"birds-{new_id()[:8]}".lower()
        project = await self.api.create_project(ProjectCreate(name=name, owner_id=f"owner-{new_id()[:8]}"))
        await self.bus.publish(SCAFFOLDER_QUEUE, ScaffolderMessage(project_id=project.id, project_name=name))
        return project.id

    async def see(self, given: str) -> None:
        async def is_answered() -> bool:
            return any(result.project_id == given for _, result in await self.bus.read(SCAFFOLDER_RESULTS))

        await eventually(is_answered, 60)
        results = [result for _, result in await self.bus.read(SCAFFOLDER_RESULTS) if result.project_id == given]
        assert {result.status for result in results} == {ResultStatus.SUCCESS}
        project = await self.api.get_project(given)
        assert (project.status, project.repo_full_name) == (ProjectStatus.SCAFFOLDED, f"acme/{project.name}")
        assert "app/main.py" in project.files
