"""git over smart HTTP with the real client, and who may do what."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from emulators.github.errors import GitError
from emulators.github.fixtures import RunningGitHub, running_github
from emulators.github.workbench import git

pytestmark = pytest.mark.service


@pytest.fixture
async def github(tmp_path: Path) -> AsyncIterator[RunningGitHub]:
    async with running_github(tmp_path / "github", options=["--owner", "globex"]) as github:
        yield github


async def refusal(*arguments: str, directory: Path, token: str | None) -> str:
    with pytest.raises(GitError) as caught:
        await git(*arguments, directory=directory, token=token)
    return str(caught.value)


async def test_clone_commit_and_push_carry_the_files_over(github: RunningGitHub, tmp_path: Path) -> None:
    async with github.workbench("demo") as bench:
        clone = await bench.clone(tmp_path / "one")
        big = os.urandom(3_000_000).hex()
        sha = await clone.commit({"big.txt": big, "dir/ü.txt": "umlaut\n"})
        await clone.push()
        again = await bench.clone(tmp_path / "two")
        assert await again.sha() == sha
        assert (again.directory / "big.txt").read_text() == big
        assert (await bench.json("/git/ref/heads/main"))["object"]["sha"] == sha
        await git("clone", "--quiet", "--depth=1", bench.url, "three", directory=tmp_path, token=bench.token)
        content = await bench.json("/contents/dir/%C3%BC.txt")
        assert content["content"] == "dW1sYXV0Cg==\n"


async def test_without_a_good_token_git_asks_for_credentials(github: RunningGitHub, tmp_path: Path) -> None:
    async with github.workbench("demo") as bench:
        async with httpx.AsyncClient() as anonymous:
            address = f"{bench.url}/info/refs?service=git-upload-pack"
            answer = await anonymous.get(address)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Basic realm="GitHub"')
            assert (await anonymous.get(address, auth=("x-access-token", "ghs_unknown"))).status_code == 401
            assert (await anonymous.get(address, auth=("x-access-token", bench.token))).status_code == 200
        for token in (None, "ghs_unknown"):
            assert "could not read Username" in await refusal("ls-remote", bench.url, directory=tmp_path, token=token)


async def test_read_only_and_foreign_tokens_cannot_push(github: RunningGitHub, tmp_path: Path) -> None:
    async with github.workbench("demo") as bench, github.workbench("other"):
        clone = await bench.clone(tmp_path / "one")
        await clone.commit({"a.txt": "a"})
        await clone.push()
        reader = await github.token(["demo"], {"contents": "read"})
        neighbour = await github.token(["other"])
        foreigner = await github.token(owner="globex")
        assert await git("ls-remote", bench.url, directory=tmp_path, token=reader)
        for token in (reader, neighbour, foreigner):
            assert "403" in await refusal("push", bench.url, "HEAD", directory=clone.directory, token=token)
        for token in (neighbour, foreigner):
            assert "not found" in await refusal("ls-remote", bench.url, directory=tmp_path, token=token)
        missing = bench.url.replace("demo", "absent")
        assert "not found" in await refusal("ls-remote", missing, directory=tmp_path, token=bench.token)
        rest = await bench.client.get("/repos/acme/demo", headers={"authorization": f"Bearer {neighbour}"})
        assert rest.status_code == 404
        rest = await bench.client.get("/repos/acme/demo/pulls", headers={"authorization": f"Bearer {reader}"})
        assert rest.status_code == 403


async def test_a_token_without_the_workflows_permission_cannot_push_workflows(
    github: RunningGitHub, tmp_path: Path
) -> None:
    async with github.workbench("demo") as bench:
        clone = await bench.clone(tmp_path / "one")
        await clone.commit({".github/workflows/ci.yml": "on: push\n"})
        limited = await github.token(["demo"], {"contents": "write"})
        text = await refusal("push", bench.url, "HEAD", directory=clone.directory, token=limited)
        assert "without workflows permission" in text
        await clone.push()
        await clone.commit({"a.txt": "a"})
        await git("push", "--quiet", bench.url, "HEAD", directory=clone.directory, token=limited)


async def test_tokens_survive_a_kill_and_end_with_their_time(github: RunningGitHub, tmp_path: Path) -> None:
    async with github.workbench("demo") as bench:
        await github.restart(["--owner", "globex", "--token-ttl-seconds", "1"], kill=True)
        assert (await bench.call("GET")).status_code == 200
    async with github.workbench("demo", create=False) as bench:
        async with asyncio.timeout(10):
            while (await bench.call("GET")).status_code == 200:
                await asyncio.sleep(0.1)
        answer = await bench.call("GET")
        assert (answer.status_code, answer.json()["message"]) == (401, "Bad credentials")
        assert "could not read" in await refusal("ls-remote", bench.url, directory=tmp_path, token=bench.token)


async def test_a_restart_keeps_repositories_pull_requests_and_secrets(github: RunningGitHub, tmp_path: Path) -> None:
    async with github.workbench("demo") as bench:
        clone = await bench.clone(tmp_path / "one")
        await clone.commit({"a.txt": "a"})
        await clone.push()
        await clone.branch("feature")
        sha = await clone.commit({"a.txt": "b"})
        await clone.push()
        await bench.call("POST", "/pulls", json={"title": "T", "head": "feature", "base": "main"})
        await bench.put_secret("KEY", "value")
        before = [await bench.json(path) for path in ("", "/pulls/1", "/actions/secrets", "/branches/feature")]
        await github.restart(["--owner", "globex"])
        after = [await bench.json(path) for path in ("", "/pulls/1", "/actions/secrets", "/branches/feature")]
        assert after == before
        assert await (await bench.clone(tmp_path / "two")).sha() != sha


async def test_a_fault_hits_the_matching_request_only(github: RunningGitHub) -> None:
    async with github.workbench("demo") as bench:
        body = {"message": "You have exceeded a secondary rate limit.", "documentation_url": "https://docs.github.com"}
        fault = {
            "match": {"method": "GET", "path": "/repos/acme/demo$"},
            "kind": "status",
            "status": 403,
            "headers": {"retry-after": "1"},
            "body": body,
        }
        assert (await bench.client.post("/_emulator/faults", json=fault)).status_code == 201
        refused = await bench.call("GET")
        assert (refused.status_code, refused.headers["retry-after"], refused.json()) == (403, "1", body)
        assert (await bench.call("GET")).status_code == 200


async def test_two_pushes_at_once_both_arrive(github: RunningGitHub, tmp_path: Path) -> None:
    async with github.workbench("demo") as bench:
        clone = await bench.clone(tmp_path / "one")
        await clone.commit({"a.txt": "a"})
        await clone.push()
        clones = [await bench.clone(tmp_path / f"clone-{number}") for number in range(4)]
        for number, each in enumerate(clones):
            await each.branch(f"b{number}")
            await each.commit({f"{number}.txt": "x"})
        await asyncio.gather(*(each.push() for each in clones))
        branches = [branch["name"] for branch in await bench.json("/branches")]
        assert branches == ["b0", "b1", "b2", "b3", "main"]
