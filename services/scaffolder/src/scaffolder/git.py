"""The one commit of a new repository: made locally, pushed with a token that lives in a private file only."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from scaffolder.errors import ForeignCloneUrl, ProcessFailed, PushFailed
from scaffolder.processes import Command, run

AUTHOR = "Codegen Orchestrator"
EMAIL = "orchestrator@users.noreply.invalid"
LOCAL_SECONDS = 30.0
NETWORK_SECONDS = 60.0


class Git:
    """git in one private folder: `tree` below it is the working tree, beside it lies the credential."""

    def __init__(self, folder: Path, environment: Mapping[str, str], web_url: str) -> None:
        self.tree = folder / "tree"
        self._credential = folder / "credential"
        self._web_url = web_url.rstrip("/") + "/"
        self._environment = {
            **environment,
            "HOME": str(folder),
            "GIT_ALLOW_PROTOCOL": urlsplit(web_url).scheme,
            "GIT_AUTHOR_NAME": AUTHOR,
            "GIT_AUTHOR_EMAIL": EMAIL,
            "GIT_COMMITTER_NAME": AUTHOR,
            "GIT_COMMITTER_EMAIL": EMAIL,
        }

    async def commit_all(self, message: str, branch: str, at: datetime) -> str:
        """Commit the whole tree as a first commit dated `at`, so that the same tree gives the same sha; returns it."""
        date = {"GIT_AUTHOR_DATE": f"{int(at.timestamp())} +0000", "GIT_COMMITTER_DATE": f"{int(at.timestamp())} +0000"}
        await self._local("init", "--quiet", f"--initial-branch={branch}")
        await self._local("add", "--all")
        await self._local("commit", "--quiet", "--no-verify", f"--message={message}", extra=date)
        return (await self._local("rev-parse", "HEAD")).strip()

    async def push(self, clone_url: str, branch: str, token: SecretStr) -> None:
        """Push HEAD; the same commit again is success. Raises PushFailed, ForeignCloneUrl."""
        self._check(clone_url)
        refspec = f"HEAD:refs/heads/{branch}"
        try:
            await self._remote(token, "push", "--quiet", clone_url, refspec)
        except ProcessFailed as error:
            raise PushFailed(str(error)) from error

    async def files_of(self, clone_url: str, branch: str, token: SecretStr) -> list[str]:
        """Return the paths in a remote branch's tree. Raises PushFailed, ForeignCloneUrl."""
        self._check(clone_url)
        self.tree.mkdir(exist_ok=True)
        await self._local("init", "--quiet")
        try:
            await self._remote(token, "fetch", "--quiet", "--depth=1", clone_url, f"refs/heads/{branch}")
        except ProcessFailed as error:
            raise PushFailed(str(error)) from error
        return await self._paths("FETCH_HEAD")

    async def files(self) -> list[str]:
        """Return the committed paths."""
        return await self._paths("HEAD")

    async def _paths(self, commit: str) -> list[str]:
        listing = await self._local("ls-tree", "-r", "-z", "--name-only", commit)
        return [path for path in listing.split("\0") if path]

    async def _local(self, *arguments: str, extra: Mapping[str, str] | None = None) -> str:
        environment = {**self._environment, **(extra or {})}
        return await run(Command(["git", *arguments], self.tree, environment, LOCAL_SECONDS))

    def _check(self, clone_url: str) -> None:
        if not clone_url.startswith(self._web_url):
            raise ForeignCloneUrl(f"{clone_url} is not below {self._web_url}: no token is sent there")

    async def _remote(self, token: SecretStr, verb: str, *arguments: str) -> str:
        self._write_credential(token)
        helper = f"!f() {{ cat {shlex.quote(str(self._credential))}; }}; f"
        options = ["-c", "credential.helper=", "-c", f"credential.helper={helper}", "-c", "http.followRedirects=false"]
        command = Command(["git", *options, verb, *arguments], self.tree, self._environment, NETWORK_SECONDS)
        try:
            return await run(command)
        finally:
            self._credential.unlink(missing_ok=True)

    def _write_credential(self, token: SecretStr) -> None:
        descriptor = os.open(self._credential, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"username=x-access-token\npassword={token.get_secret_value()}\n")
