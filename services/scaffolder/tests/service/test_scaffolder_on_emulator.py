"""The whole service against an emulated GitHub: real REST, real git over HTTP, real copier."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from emulators.github.fixtures import RunningGitHub, running_github
from scaffolder.processes import Command, run
from scaffolder.rendering import Renderer, Template
from scaffolder.repository import Repositories
from scaffolder.service import ScaffoldService
from scaffolder.settings import BUNDLED_TEMPLATE, child_environment
from shared.clients.github.auth import AppCredentials
from shared.clients.github.client import GitHubClient
from shared.contracts.dto.work import ProjectCreate, ProjectDTO
from shared.contracts.queues.work import ScaffolderMessage
from shared.contracts.vocabulary import ProjectModule, ProjectStatus
from shared.testing.api import FakeApi

pytestmark = pytest.mark.service


@dataclass
class Place:
    """One emulated GitHub, one api in memory, one service between them."""

    emulator: RunningGitHub
    api: FakeApi
    github: GitHubClient
    service: ScaffoldService

    async def project(self, name: str = "birds") -> ProjectDTO:
        return await self.api.create_project(ProjectCreate(name=name, owner_id=f"owner-of-{len(self.api.projects)}"))

    async def scaffold(self, project: ProjectDTO) -> ProjectDTO:
        modules = [ProjectModule.BACKEND, ProjectModule.FRONTEND]
        message = ScaffolderMessage(project_id=project.id, project_name=project.name, modules=modules)
        return await self.service.scaffold(message)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with running_github(tmp_path / "github") as emulator:
        key = SecretStr(emulator.private_key_pem)
        github = GitHubClient(AppCredentials(str(emulator.app_id), key), api_url=emulator.base_url)
        api = FakeApi()
        environment = child_environment()
        service = ScaffoldService(
            api,
            github,
            Repositories(github, emulator.owner),
            Renderer(Template(str(BUNDLED_TEMPLATE)), environment),
            environment=environment,
            web_url=emulator.base_url,
        )
        yield Place(emulator, api, github, service)
        await github.aclose()


async def test_a_project_gets_a_repository_with_the_template(place: Place) -> None:
    project = await place.scaffold(await place.project())
    assert project.status is ProjectStatus.SCAFFOLDED
    assert project.repo_full_name == "acme/birds"
    assert {".project.yml", "AGENTS.md", "app/main.py", "frontend/index.html"} <= set(project.files)
    assert project.repo_url == f"{place.emulator.base_url}/acme/birds"
    assert "birds" in (await place.github.get_content("acme/birds", "README.md", "main") or "")


async def test_a_repeated_message_changes_nothing(place: Place) -> None:
    created = await place.project()
    first = await place.scaffold(created)
    sha = await place.github.get_ref("acme/birds", "main")
    second = await place.scaffold(created)
    assert await place.github.get_ref("acme/birds", "main") == sha
    assert (second.repo_full_name, second.files) == (first.repo_full_name, first.files)


async def test_a_repository_left_empty_is_filled(place: Place) -> None:
    await place.github.create_repository("acme", "birds")
    project = await place.scaffold(await place.project())
    assert project.repo_full_name == "acme/birds"
    assert await place.github.get_ref("acme/birds", "main") is not None


async def test_another_projects_name_gets_a_suffix(place: Place) -> None:
    first, second = await place.project(), await place.project()
    await place.scaffold(first)
    project = await place.scaffold(second)
    assert project.repo_full_name == f"acme/birds-{second.id[:6]}"


async def test_the_commit_has_the_fixed_author_and_no_token_in_it(place: Place, tmp_path: Path) -> None:
    project = await place.scaffold(await place.project())
    token = await place.github.repository_token(project.repo_full_name or "", {"contents": "read"})
    address = place.emulator.base_url.replace("://", f"://x-access-token:{token.get_secret_value()}@")
    clone = tmp_path / "clone"
    environment = child_environment()
    await run(Command(["git", "clone", "-q", f"{address}/acme/birds.git", str(clone)], tmp_path, environment, 20))
    authors = await run(Command(["git", "log", "--format=%an"], clone, environment, 20))
    assert authors.split() == ["Codegen", "Orchestrator"]
    tracked = [path for path in clone.rglob("*") if path.is_file() and ".git" not in path.parts]
    assert not any("ghs_" in path.read_text() for path in tracked)
