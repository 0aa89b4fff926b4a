"""Runs git for the workspace: no prompts, no hooks, no configuration but ours, credentials only while it talks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from worker_wrapper.errors import Interrupted, WorkspaceError
from worker_wrapper.process import ChildProcesses, ChildSpec, Deadlines, Ending

GIT_SECONDS = 300.0
SCHEMES = frozenset({"https", "http", "file"})
# The agent may have written hooks or configuration into the checkout: nothing of it runs while a token is at hand.
SAFE_OPTIONS = (
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.fsmonitor=false",
    "-c", "credential.helper=",
    "-c", "commit.gpgSign=false",
    "-c", "core.quotePath=false",
    "-c", "gc.auto=0",
)  # fmt: skip
AUTHOR = "Codegen Agent"
AUTHOR_EMAIL = "agent@codegen.invalid"


class Git:
    """Runs one git command after another in one checkout."""

    def __init__(self, children: ChildProcesses, environ: Mapping[str, str], state_dir: Path | None) -> None:
        self._children = children
        self._environ = dict(environ)
        self._state_dir = state_dir

    async def run(self, cwd: Path, *arguments: str, stdin: str | None = None, stop: asyncio.Event | None = None) -> str:
        """Run a local command and return its output; WorkspaceError with git's own words when it fails."""
        return await self._run(cwd, [*SAFE_OPTIONS, *arguments], "", stdin, stop)

    async def succeeds(self, cwd: Path, *arguments: str) -> bool:
        """Tell whether a local command succeeds."""
        try:
            await self.run(cwd, *arguments)
        except WorkspaceError:
            return False
        return True

    async def talk(
        self, cwd: Path, url: str, token: str | None, *arguments: str, stop: asyncio.Event | None = None
    ) -> str:
        """Run a command that talks to `url`; the token lives in a file of ours for just that long."""
        scheme = check_url(url)
        with self._credentials(url, token) as helper:
            return await self._run(cwd, [*SAFE_OPTIONS, *helper, *arguments], scheme, None, stop)

    async def _run(
        self, cwd: Path, arguments: list[str], scheme: str, stdin: str | None, stop: asyncio.Event | None
    ) -> str:
        spec = ChildSpec(argv=("git", *arguments), cwd=cwd, env=self._env(scheme), stdin=stdin)
        try:
            outcome = await self._children.run(spec, Deadlines(total_seconds=GIT_SECONDS), stop=stop)
        except OSError as error:
            raise WorkspaceError(f"git could not be started: {error.strerror or error}") from None
        if outcome.ending is Ending.STOPPED:
            raise Interrupted
        if outcome.ending is not Ending.EXITED or outcome.exit_code != 0:
            verb = next((word for word in arguments[len(SAFE_OPTIONS) :] if word.isalpha()), "git")
            raise WorkspaceError(f"git {verb} failed: {outcome.stderr_tail or outcome.ending}")
        return outcome.stdout

    def _env(self, scheme: str) -> dict[str, str]:
        return {
            **self._environ,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "SSH_ASKPASS": "",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ALLOW_PROTOCOL": scheme or "none",
            "GIT_AUTHOR_NAME": AUTHOR,
            "GIT_AUTHOR_EMAIL": AUTHOR_EMAIL,
            "GIT_COMMITTER_NAME": AUTHOR,
            "GIT_COMMITTER_EMAIL": AUTHOR_EMAIL,
            "LC_ALL": "C.UTF-8",
        }

    @contextlib.contextmanager
    def _credentials(self, url: str, token: str | None) -> Iterator[list[str]]:
        """Write the helper's file (0600, outside the workspace) and take it away again."""
        parts = urlsplit(url)
        if token is None or parts.scheme == "file":
            yield []
            return
        if self._state_dir is not None:
            self._state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix="credentials-", dir=self._state_dir)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
                handle.write(f"{parts.scheme}://x-access-token:{quote(token, safe='')}@{parts.netloc}\n")
            yield ["-c", f"credential.helper=store --file={shlex.quote(name)}"]
        finally:
            Path(name).unlink(missing_ok=True)


def check_url(url: str) -> str:
    """Return the URL's scheme; WorkspaceError unless git may speak it and it carries no credentials."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise WorkspaceError(f"clone_url must begin with https://, not {parts.scheme or url[:20]!r}")
    if "@" in parts.netloc:
        raise WorkspaceError("clone_url must not carry credentials: they belong in repo.token")
    return parts.scheme
