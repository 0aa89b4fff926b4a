"""What the port promises, against the emulated GitHub and the in-memory fake alike; then what only a server has."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import httpx
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from emulators.github.fixtures import RunningGitHub, running_github
from shared.clients.github.auth import AppCredentials
from shared.clients.github.client import GitHubClient
from shared.clients.github.errors import (
    GitHubInvalid,
    GitHubNotFound,
    GitHubUnauthorized,
    GitHubUnavailable,
    MergeRefused,
    RateLimitExceeded,
)
from shared.clients.github.models import CheckRun, WorkflowRun
from shared.clients.github.port import GitHub
from shared.testing.github import FakeGitHub
from shared.testing.github_fixtures import Exchanges, NotingTransport

pytestmark = [pytest.mark.service, pytest.mark.timeout(330), pytest.mark.asyncio(loop_scope="module")]
REPOSITORY = "acme/birds"
WORKFLOW = """
name: echo
run-name: Echo ${{ inputs.correlation }}
on:
  push:
    branches: [main]
  workflow_dispatch:
    inputs:
      correlation: {required: true, type: string}
jobs:
  say:
    runs-on: ubuntu-latest
    steps:
      - run: |
          for i in 1 2 3; do echo "line $i"; done
          test -z "${{ secrets.FAIL }}"
"""


class Place(Protocol):
    """A GitHub and a way to push to it."""

    github: GitHub

    async def push(self, branch: str, files: Mapping[str, str]) -> str:
        """Commit files on top of a branch, or of main for a new one; returns the sha."""
        ...


class FakePlace:
    def __init__(self) -> None:
        self.fake = FakeGitHub()
        self.github: GitHub = self.fake

    async def push(self, branch: str, files: Mapping[str, str]) -> str:
        return self.fake.push(REPOSITORY, branch, files)


class EmulatedPlace:
    def __init__(self, emulator: RunningGitHub, client: GitHubClient, folder: Path) -> None:
        self.emulator = emulator
        self.client = client
        self.github: GitHub = client
        self._tree = folder / "clone"

    async def push(self, branch: str, files: Mapping[str, str]) -> str:
        permissions = {"contents": "write", "workflows": "write"}
        token = (await self.client.repository_token(REPOSITORY, permissions)).get_secret_value()
        if not self._tree.exists():
            self._tree.mkdir()
            await self._git("init", "--quiet", "--initial-branch=main")
            address = self.emulator.base_url.replace("://", f"://x-access-token:{token}@")
            await self._git("remote", "add", "origin", f"{address}/{REPOSITORY}.git")
        await self._git("fetch", "--quiet", "origin")
        known = (await self._git("branch", "--remotes", "--format=%(refname:short)")).split()
        start = next((name for name in (f"origin/{branch}", "origin/main") if name in known), None)
        if start is not None:
            await self._git("checkout", "--quiet", "-B", branch, start)
        for path, text in files.items():
            (self._tree / path).parent.mkdir(parents=True, exist_ok=True)
            (self._tree / path).write_text(text)
        await self._git("add", "--all")
        await self._git("commit", "--quiet", "--message=change")
        await self._git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        return (await self._git("rev-parse", "HEAD")).strip()

    async def _git(self, *arguments: str) -> str:
        identity = {
            f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_TERMINAL_PROMPT": "0", **identity}
        process = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            cwd=self._tree,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def emulator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningGitHub]:
    """One emulator for all; a test leaves no repository behind."""
    async with running_github(tmp_path_factory.mktemp("github")) as running:
        yield running


async def _remove_repositories(emulator: RunningGitHub) -> None:
    async with await emulator.client() as http:
        left = (await http.get("/installation/repositories")).json()["repositories"]
        for repository in left:
            (await http.delete(f"/repos/{repository['full_name']}")).raise_for_status()


async def emulated(stack: AsyncExitStack, emulator: RunningGitHub, folder: Path, exchanges: Exchanges) -> EmulatedPlace:
    stack.push_async_callback(_remove_repositories, emulator)
    credentials = AppCredentials(str(emulator.app_id), SecretStr(emulator.private_key_pem))
    client = GitHubClient(credentials, api_url=emulator.base_url, http_transport=NotingTransport(exchanges))
    stack.push_async_callback(client.aclose)
    return EmulatedPlace(emulator, client, folder)


@pytest_asyncio.fixture(loop_scope="module", params=["fake", "emulator"])
async def place(
    request: pytest.FixtureRequest, emulator: RunningGitHub, tmp_path: Path, github_exchanges: Exchanges
) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        is_fake = request.param == "fake"
        yield FakePlace() if is_fake else await emulated(stack, emulator, tmp_path, github_exchanges)


@pytest_asyncio.fixture(loop_scope="module")
async def server(emulator: RunningGitHub, tmp_path: Path, github_exchanges: Exchanges) -> AsyncIterator[EmulatedPlace]:
    async with AsyncExitStack() as stack:
        yield await emulated(stack, emulator, tmp_path, github_exchanges)


async def with_main(place: Place, files: Mapping[str, str] | None = None) -> str:
    """Create the repository with a first commit; returns its sha."""
    await place.github.create_repository("acme", "birds")
    return await place.push("main", files or {"README.md": "birds\n"})


async def test_a_repository_is_created_once(place: Place) -> None:
    first, was_created = await place.github.create_repository("acme", "birds")
    second, again = await place.github.create_repository("acme", "birds")
    assert (was_created, again) == (True, False)
    assert first == second == await place.github.get_repository(REPOSITORY)
    assert first.clone_url.endswith("/acme/birds.git")


async def test_what_is_not_there_is_none_or_not_found(place: Place) -> None:
    github = place.github
    with pytest.raises(GitHubNotFound):
        await github.get_repository("acme/nothing")
    await github.create_repository("acme", "birds")
    assert await github.get_ref(REPOSITORY, "main") is None
    await place.push("main", {"README.md": "birds\n"})
    assert await github.get_ref(REPOSITORY, "other") is None
    assert await github.get_content(REPOSITORY, "nothing.txt", "main") is None
    assert await github.find_pull(REPOSITORY, "other") is None
    with pytest.raises(GitHubNotFound):
        await github.get_pull(REPOSITORY, 99)
    with pytest.raises(GitHubNotFound):
        await github.get_workflow_run(REPOSITORY, 99)


async def test_content_is_read_at_a_branch_and_at_a_commit(place: Place) -> None:
    first = await with_main(place, {"a/b.txt": "one ✓\n"})
    second = await place.push("main", {"a/b.txt": "two\n"})
    github = place.github
    assert await github.get_ref(REPOSITORY, "main") == second
    assert await github.get_content(REPOSITORY, "a/b.txt", "main") == "two\n"
    assert await github.get_content(REPOSITORY, "a/b.txt", first) == "one ✓\n"


async def test_the_diff_of_a_branch(place: Place) -> None:
    await with_main(place, {"a.txt": "one\n"})
    sha = await place.push("run/1", {"a.txt": "two\n", "new.txt": "new\n"})
    diff = await place.github.compare_diff(REPOSITORY, "main", sha)
    for part in ("diff --git a/a.txt b/a.txt", "-one", "+two", "diff --git a/new.txt b/new.txt", "+new"):
        assert part in diff


async def test_a_pull_request_from_opening_to_merge(place: Place) -> None:
    github = place.github
    await with_main(place)
    sha = await place.push("run/1", {"new.txt": "new\n"})
    opened = await github.create_pull(REPOSITORY, "run/1", "main", "Add", "body")
    adopted = await github.create_pull(REPOSITORY, "run/1", "main", "Add", "body")
    found = await github.find_pull(REPOSITORY, "run/1")
    assert found is not None
    assert opened.number == adopted.number == found.number
    assert (opened.head.sha, opened.is_open, opened.is_merged) == (sha, True, False)

    with pytest.raises(MergeRefused):
        await github.merge_pull(REPOSITORY, opened.number, "0" * 40, "Add")
    merged = await github.merge_pull(REPOSITORY, opened.number, sha, "Add")
    again = await github.merge_pull(REPOSITORY, opened.number, sha, "Add")
    assert merged.sha == again.sha == await github.get_ref(REPOSITORY, "main")
    assert (merged.was_merged_before, again.was_merged_before) == (False, True)
    closed = await github.get_pull(REPOSITORY, opened.number)
    assert (closed.is_open, closed.is_merged, closed.merge_commit_sha) == (False, True, merged.sha)
    await github.delete_branch(REPOSITORY, "run/1")
    await github.delete_branch(REPOSITORY, "run/1")
    assert await github.get_ref(REPOSITORY, "run/1") is None


async def test_a_branch_can_be_protected(place: Place) -> None:
    await with_main(place)
    assert await place.github.protect_branch(REPOSITORY, "main") is True


async def test_a_repository_token_differs_from_the_next_repositorys(place: Place) -> None:
    await with_main(place)
    await place.github.create_repository("acme", "trees")
    first = await place.github.repository_token(REPOSITORY)
    assert first.get_secret_value()
    assert await place.github.repository_token("acme/trees") != first


async def test_a_dispatched_run_is_found_by_its_correlation(place: Place) -> None:
    sha = await with_main(place, {".github/workflows/echo.yml": WORKFLOW})
    github = place.github
    await github.dispatch_workflow(REPOSITORY, "echo.yml", "main", {"correlation": "c0ffee"})
    runs = await github.list_workflow_runs(REPOSITORY, "echo.yml", event="workflow_dispatch", head_sha=sha)
    [run] = [run for run in runs if "c0ffee" in run.display_title]
    assert (run.head_sha, run.event) == (sha, "workflow_dispatch")
    assert (await github.get_workflow_run(REPOSITORY, run.id)).id == run.id
    assert await github.list_workflow_runs(REPOSITORY, "echo.yml", event="schedule") == []


async def _finished(github: GitHub, correlation: str) -> WorkflowRun:
    async with asyncio.timeout(30):
        while True:
            runs = await github.list_workflow_runs(REPOSITORY, "echo.yml", event="workflow_dispatch")
            done = [run for run in runs if correlation in run.display_title and run.is_completed]
            if done:
                return done[0]
            await asyncio.sleep(0.05)


async def test_a_secret_reaches_the_workflow_and_its_log_is_read(server: EmulatedPlace) -> None:
    await with_main(server, {".github/workflows/echo.yml": WORKFLOW})
    github = server.client
    await github.dispatch_workflow(REPOSITORY, "echo.yml", "main", {"correlation": "first"})
    first = await _finished(github, "first")
    assert first.is_successful, await github.workflow_log_tail(REPOSITORY, first.id)
    await github.put_secret(REPOSITORY, "FAIL", SecretStr("yes-it-fails"))
    await github.dispatch_workflow(REPOSITORY, "echo.yml", "main", {"correlation": "second"})
    second = await _finished(github, "second")
    log = await github.workflow_log_tail(REPOSITORY, second.id, 50)
    assert second.conclusion == "failure"
    assert "line 3" in log
    assert "yes-it-fails" not in log
    assert len((await github.workflow_log_tail(REPOSITORY, second.id, 2)).splitlines()) == 2


async def test_the_checks_of_a_push_and_their_log(server: EmulatedPlace) -> None:
    sha = await with_main(server, {".github/workflows/echo.yml": WORKFLOW})

    async def completed() -> list[CheckRun]:
        async with asyncio.timeout(30):
            while True:
                found = await server.client.list_check_runs(REPOSITORY, sha)
                if found and all(check.is_completed for check in found):
                    return found
                await asyncio.sleep(0.05)

    [check] = await completed()
    assert (check.name, check.is_successful) == ("say", True)
    assert "line 1" in await server.client.job_log_tail(REPOSITORY, check.id)
    assert await server.client.job_log_tail(REPOSITORY, 999_999) == ""


async def test_a_repository_token_opens_only_its_repository(server: EmulatedPlace) -> None:
    await with_main(server)
    await server.client.create_repository("acme", "trees")
    token = await server.client.repository_token("acme/trees", {"contents": "read"})
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
    async with httpx.AsyncClient(base_url=server.emulator.base_url, headers=headers) as http:
        assert (await http.get("/repos/acme/trees")).status_code == 200
        assert (await http.get(f"/repos/{REPOSITORY}")).status_code == 404


async def _queue_fault(server: EmulatedPlace, fault: Mapping[str, object]) -> None:
    async with httpx.AsyncClient(base_url=server.emulator.base_url) as http:
        (await http.post("/_emulator/faults", json=fault)).raise_for_status()


async def test_a_lost_answer_does_not_make_a_second_pull_request(server: EmulatedPlace) -> None:
    await with_main(server)
    await server.push("run/1", {"new.txt": "new\n"})
    match = {"method": "POST", "path": "/pulls$"}
    await _queue_fault(server, {"match": match, "kind": "cut", "cut_after_bytes": 0})
    pull = await server.client.create_pull(REPOSITORY, "run/1", "main", "Add", "")
    assert pull.number == 1


async def test_a_lost_answer_does_not_merge_twice(server: EmulatedPlace) -> None:
    await with_main(server)
    sha = await server.push("run/1", {"new.txt": "new\n"})
    pull = await server.client.create_pull(REPOSITORY, "run/1", "main", "Add", "")
    await _queue_fault(server, {"match": {"method": "PUT", "path": "/merge$"}, "kind": "cut", "cut_after_bytes": 0})
    merged = await server.client.merge_pull(REPOSITORY, pull.number, sha, "Add")
    assert merged.sha == await server.client.get_ref(REPOSITORY, "main")


async def test_a_lost_answer_to_a_dispatch_is_raised_and_it_ran_once(server: EmulatedPlace) -> None:
    await with_main(server, {".github/workflows/echo.yml": WORKFLOW})
    await _queue_fault(server, {"match": {"path": "/dispatches$"}, "kind": "cut"})
    with pytest.raises(GitHubUnavailable):
        await server.client.dispatch_workflow(REPOSITORY, "echo.yml", "main", {"correlation": "x"})
    runs = await server.client.list_workflow_runs(REPOSITORY, "echo.yml", event="workflow_dispatch")
    assert len(runs) <= 1


async def test_a_long_limit_names_its_end(server: EmulatedPlace) -> None:
    await with_main(server)
    fault = {"match": {"path": "/repos/"}, "kind": "status", "status": 403, "headers": {"Retry-After": "120"}}
    await _queue_fault(server, fault)
    with pytest.raises(RateLimitExceeded) as caught:
        await server.client.get_repository(REPOSITORY)
    assert caught.value.retry_after_seconds == 120


async def test_a_second_look_at_the_same_costs_nothing(server: EmulatedPlace, github_exchanges: Exchanges) -> None:
    await server.client.create_repository("acme", "birds")
    first = await server.client.get_repository(REPOSITORY)
    assert await server.client.get_repository(REPOSITORY) == first
    seen = [answer for request, answer in github_exchanges.noted if request.url.path == f"/repos/{REPOSITORY}"]
    looks = [(answer.status_code, answer.headers["x-ratelimit-used"]) for answer in seen if answer is not None]
    assert [status for status, _ in looks] == [200, 304]
    assert len({used for _, used in looks}) == 1


async def test_a_wrong_key_is_refused(server: EmulatedPlace) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    wrong = AppCredentials(str(server.emulator.app_id), SecretStr(key.private_bytes(*kind).decode()))
    client = GitHubClient(wrong, api_url=server.emulator.base_url)
    with pytest.raises(GitHubUnauthorized):
        await client.get_repository(REPOSITORY)
    await client.aclose()


async def test_a_branch_that_does_not_exist_makes_no_pull_request(server: EmulatedPlace) -> None:
    await with_main(server)
    with pytest.raises(GitHubInvalid):
        await server.client.create_pull(REPOSITORY, "nothing", "main", "Add", "")
