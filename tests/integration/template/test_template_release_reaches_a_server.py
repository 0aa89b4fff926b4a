"""From a project's row to a running application: scaffolder, GitHub with its Actions, deploy workflow, appd."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from emulators.github.fixtures import RunningGitHub, running_github
from infra_service.testing import TOKEN, Appd, fetch
from scaffolder.rendering import Renderer, Template
from scaffolder.repository import Repositories
from scaffolder.service import ScaffoldService
from scaffolder.settings import BUNDLED_TEMPLATE, child_environment
from shared.clients.github.auth import AppCredentials
from shared.clients.github.client import GitHubClient
from shared.clients.github.models import CheckRun, WorkflowRun
from shared.contracts.dto.work import ProjectCreate
from shared.contracts.queues.work import ScaffolderMessage
from shared.runtime.ports import free_port
from shared.testing.api import FakeApi

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
REPOSITORY = "acme/birds"
SECONDS = 120.0


@dataclass
class Place:
    emulator: RunningGitHub
    github: GitHubClient
    sha: str


@pytest.fixture
def appd() -> Iterator[Appd]:
    folder = Path(tempfile.mkdtemp(prefix="server-"))
    folder.chmod(0o755)
    server = Appd(folder)
    server.configure()
    server.start()
    yield server
    server.end()
    shutil.rmtree(folder)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """A scaffolded project on an emulated GitHub."""
    async with running_github(tmp_path / "github") as emulator:
        credentials = AppCredentials(str(emulator.app_id), SecretStr(emulator.private_key_pem))
        github = GitHubClient(credentials, api_url=emulator.base_url)
        api, environment = FakeApi(), child_environment()
        service = ScaffoldService(
            api,
            github,
            Repositories(github, emulator.owner),
            Renderer(Template(str(BUNDLED_TEMPLATE)), environment),
            environment=environment,
            web_url=emulator.base_url,
        )
        project = await api.create_project(ProjectCreate(name="birds", owner_id="u1"))
        await service.scaffold(ScaffolderMessage(project_id=project.id, project_name=project.name))
        sha = await github.get_ref(REPOSITORY, "main")
        assert sha is not None
        yield Place(emulator, github, sha)
        await github.aclose()


async def until(ask: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await ask():
            await asyncio.sleep(0.2)


async def test_the_checks_of_a_fresh_project_started_by_hand_are_green(place: Place) -> None:
    await place.github.dispatch_workflow(REPOSITORY, "ci.yml", "main", {})

    async def checks() -> list[CheckRun]:
        return await place.github.list_check_runs(REPOSITORY, place.sha)

    async def all_completed() -> bool:
        found = await checks()
        return bool(found) and all(check.is_completed for check in found)

    await until(all_completed)
    [check] = await checks()
    assert check.is_successful, await place.github.job_log_tail(REPOSITORY, check.id)


async def _deploy(place: Place, correlation: str, port: int) -> WorkflowRun:
    inputs = {"app": "birds", "sha": place.sha, "port": str(port), "correlation": correlation}
    await place.github.dispatch_workflow(REPOSITORY, "main.yml", "main", inputs)
    found: list[WorkflowRun] = []

    async def is_done() -> bool:
        runs = await place.github.list_workflow_runs(REPOSITORY, "main.yml", event="workflow_dispatch")
        found[:] = [run for run in runs if correlation in run.display_title]
        return bool(found) and found[0].is_completed

    await until(is_done)
    return found[0]


async def test_a_dispatched_deploy_ends_in_a_running_application(place: Place, appd: Appd) -> None:
    github, port = place.github, free_port()
    await github.put_secret(REPOSITORY, "DEPLOY_URL", SecretStr(f"http://127.0.0.1:{appd.port}"))
    await github.put_secret(REPOSITORY, "DEPLOY_TOKEN", SecretStr(TOKEN))
    run = await _deploy(place, "c0rrelation", port)
    log = await github.workflow_log_tail(REPOSITORY, run.id)
    assert run.is_successful, log
    assert TOKEN not in log
    assert json.loads(await asyncio.to_thread(fetch, port, "/version")) == {"sha": place.sha}
    assert "birds" in await asyncio.to_thread(fetch, port, "/")


async def test_a_deploy_with_a_wrong_token_fails_and_says_why(place: Place, appd: Appd) -> None:
    github = place.github
    await github.put_secret(REPOSITORY, "DEPLOY_URL", SecretStr(f"http://127.0.0.1:{appd.port}"))
    await github.put_secret(REPOSITORY, "DEPLOY_TOKEN", SecretStr("not-the-token"))
    run = await _deploy(place, "other", free_port())
    assert run.conclusion == "failure"
    assert "token is missing or wrong" in await github.workflow_log_tail(REPOSITORY, run.id)
