"""A developer's side of the emulator for tests: a clone with the real git, and waiting for what Actions does."""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
from nacl.public import PublicKey, SealedBox

from emulators.github.errors import GitError
from emulators.github.settings import git_environment

T = TypeVar("T")
POLL_SECONDS = 0.1
WHO: Mapping[str, str] = {
    "GIT_AUTHOR_NAME": "Dev",
    "GIT_AUTHOR_EMAIL": "dev@example.org",
    "GIT_COMMITTER_NAME": "Dev",
    "GIT_COMMITTER_EMAIL": "dev@example.org",
}


async def git(*arguments: str, directory: Path, token: str | None = None) -> str:
    """Run git as a developer's machine would, with the token as its credential; raises GitError.

    Returns stdout and stderr together.
    """
    environment = {**git_environment(), **WHO}
    options: tuple[str, ...] = ()
    if token is not None:
        encoded = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        options = ("-c", f"http.extraHeader=Authorization: Basic {encoded}")
    process = await asyncio.create_subprocess_exec(
        "git",
        *options,
        *arguments,
        cwd=directory,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    text = output.decode(errors="replace")
    if process.returncode:
        raise GitError(arguments, process.returncode, text)
    return text


@dataclass
class Clone:
    """A clone of one repository."""

    directory: Path
    url: str
    token: str

    async def commit(self, files: Mapping[str, str], message: str = "Change files") -> str:
        """Write files, commit them and return the sha."""
        for name, text in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        await git("add", "--", *files, directory=self.directory)
        await git("commit", "--quiet", "--message", message, directory=self.directory)
        return await self.sha()

    async def sha(self) -> str:
        """Return the commit of HEAD."""
        return (await git("rev-parse", "HEAD", directory=self.directory)).strip()

    async def branch(self, name: str) -> None:
        """Start a branch at HEAD and switch to it."""
        await git("checkout", "--quiet", "-b", name, directory=self.directory)

    async def push(self, *refs: str) -> str:
        """Push refs, HEAD under its own name when none is given."""
        return await git("push", self.url, *(refs or ("HEAD",)), directory=self.directory, token=self.token)


@dataclass
class Workbench:
    """A REST client for one repository and clones of it."""

    client: httpx.AsyncClient
    token: str
    base_url: str
    owner: str
    repository: str

    @property
    def url(self) -> str:
        """Return the address git uses."""
        return f"{self.base_url}/{self.owner}/{self.repository}.git"

    async def call(self, method: str, path: str = "", **options: Any) -> httpx.Response:
        """Send a request about the repository; path starts below it, e.g. /pulls."""
        return await self.client.request(method, f"/repos/{self.owner}/{self.repository}{path}", **options)

    async def json(self, path: str = "") -> Any:
        """GET a path below the repository and return the JSON; raises on an error status."""
        answer = await self.call("GET", path)
        answer.raise_for_status()
        return answer.json()

    async def clone(self, directory: Path) -> Clone:
        """Clone the repository."""
        await git("clone", "--quiet", self.url, str(directory), directory=directory.parent, token=self.token)
        await git("symbolic-ref", "HEAD", "refs/heads/main", directory=directory)
        return Clone(directory, self.url, self.token)

    async def put_secret(self, name: str, value: str) -> httpx.Response:
        """Seal a secret with the repository's key and set it."""
        key = await self.json("/actions/secrets/public-key")
        sealed = SealedBox(PublicKey(base64.b64decode(key["key"]))).encrypt(value.encode())
        body = {"encrypted_value": base64.b64encode(sealed).decode(), "key_id": key["key_id"]}
        return await self.call("PUT", f"/actions/secrets/{name}", json=body)

    async def finished_runs(self, sha: str, count: int = 1, deadline_seconds: float = 30) -> list[dict[str, Any]]:
        """Wait until at least count runs of a commit exist and all of them are completed."""

        async def look() -> list[dict[str, Any]] | None:
            runs = (await self.json(f"/actions/runs?head_sha={sha}"))["workflow_runs"]
            done = len(runs) >= count and all(run["status"] == "completed" for run in runs)
            return runs if done else None

        return await until(look, deadline_seconds)

    async def job_log(self, run_id: int, job: int = 0) -> str:
        """Return the log of a run's job by its position."""
        jobs = (await self.json(f"/actions/runs/{run_id}/jobs"))["jobs"]
        answer = await self.call("GET", f"/actions/jobs/{jobs[job]['id']}/logs")
        assert answer.status_code == 302, answer.text
        text = await self.client.get(answer.headers["location"], headers={"authorization": ""})
        text.raise_for_status()
        return text.text


async def until(look: Callable[[], Awaitable[T | None]], deadline_seconds: float = 30) -> T:
    """Ask again until there is an answer; raises TimeoutError after the deadline."""
    end = time.monotonic() + deadline_seconds
    while True:
        found = await look()
        if found is not None:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"nothing within {deadline_seconds} s")
        await asyncio.sleep(POLL_SECONDS)
