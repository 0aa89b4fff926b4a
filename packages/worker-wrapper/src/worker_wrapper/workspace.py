"""The checkout a run works in: made once, kept for the run, committed and pushed at the end of `code`."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

from shared.contracts.queues.workers import RepoRef
from shared.contracts.stages import ChangeType, FileChange
from worker_wrapper.errors import WorkspaceError
from worker_wrapper.git import Git

CHECKOUT = "repo"
# Agents keep their own notes in the directory they work in; they are not part of anybody's project.
EXCLUDED = ".claude/\n.factory/\n__pycache__/\n*.pyc\n"
_CHANGES = {"A": ChangeType.ADDED, "D": ChangeType.DELETED, "R": ChangeType.RENAMED}


@dataclass(frozen=True, slots=True)
class Pushed:
    sha: str
    changes: list[FileChange]


class Workspace:
    """One checkout of one branch under `root`; another repository or branch replaces it."""

    def __init__(self, root: Path, git: Git, stop: asyncio.Event | None = None) -> None:
        self._root = root
        self._git = git
        self._stop = stop

    @property
    def root(self) -> Path:
        return self._root

    @property
    def checkout(self) -> Path:
        return self._root / CHECKOUT

    async def prepare(self, repo: RepoRef) -> Path:
        """Have the run's branch checked out, begun from its base when it is new; return the directory."""
        if not await self._is_current(repo):
            await self._clone(repo)
        await self._fetch(repo)
        if await self._branch() != repo.branch:
            await self._checkout(repo)
        return self.checkout

    async def discard_changes(self) -> None:
        """Throw away what a stage that only reads has written."""
        await self._git.run(self.checkout, "reset", "--quiet", "--hard")
        await self._git.run(self.checkout, "clean", "--quiet", "-fd")

    async def publish(self, repo: RepoRef, message: str) -> Pushed | None:
        """Commit everything and push the branch; None when the branch holds no work at all.

        Nothing to commit is success when the branch already differs from its base.
        """
        await self._git.run(self.checkout, "add", "--all")
        if not await self._git.succeeds(self.checkout, "diff", "--cached", "--quiet"):
            await self._git.run(self.checkout, "commit", "--quiet", "--no-verify", "--file=-", stdin=message)
        base = (await self._git.run(self.checkout, "merge-base", "HEAD", f"origin/{repo.base}")).strip()
        changes = await self._git.run(self.checkout, "diff", "--name-status", "-z", base, "HEAD")
        if not changes:
            return None
        await self._git.talk(
            self.checkout,
            repo.clone_url,
            _token(repo),
            *("push", "--quiet", repo.clone_url, f"HEAD:refs/heads/{repo.branch}"),
            stop=self._stop,
        )
        sha = (await self._git.run(self.checkout, "rev-parse", "HEAD")).strip()
        return Pushed(sha=sha, changes=_file_changes(changes))

    async def _is_current(self, repo: RepoRef) -> bool:
        if not (self.checkout / ".git").is_dir():
            return False
        try:
            url = await self._git.run(self.checkout, "config", "--get", "codegen.source")
        except WorkspaceError:
            return False
        return url.strip() == f"{repo.clone_url} {repo.branch}"

    async def _clone(self, repo: RepoRef) -> None:
        await asyncio.to_thread(shutil.rmtree, self.checkout, ignore_errors=True)
        self.checkout.mkdir(parents=True, exist_ok=True)
        # HEAD begins on a branch nobody uses: the run's own branch may have any name.
        await self._git.run(self.checkout, "init", "--quiet", "--initial-branch=codegen-unborn")
        await self._git.run(self.checkout, "remote", "add", "origin", repo.clone_url)
        (self.checkout / ".git" / "info").mkdir(exist_ok=True)
        (self.checkout / ".git" / "info" / "exclude").write_text(EXCLUDED, encoding="utf-8")
        await self._git.run(self.checkout, "config", "codegen.source", f"{repo.clone_url} {repo.branch}")

    async def _checkout(self, repo: RepoRef) -> None:
        """Check the run's branch out: as it was left here, as it was pushed, or new from its base."""
        if await self._has(f"heads/{repo.branch}"):
            await self._git.run(self.checkout, "checkout", "--quiet", repo.branch, "--")
            return
        is_pushed = await self._has(f"remotes/origin/{repo.branch}")
        start = repo.branch if is_pushed else repo.base
        if not await self._has(f"remotes/origin/{start}"):
            raise WorkspaceError(f"the repository has no branch {start}")
        await self._git.run(
            self.checkout, "checkout", "--quiet", "-B", repo.branch, f"refs/remotes/origin/{start}", "--"
        )

    async def _fetch(self, repo: RepoRef) -> None:
        await self._git.talk(
            self.checkout,
            repo.clone_url,
            _token(repo),
            *("fetch", "--quiet", "--prune", "--no-tags", repo.clone_url, "+refs/heads/*:refs/remotes/origin/*"),
            stop=self._stop,
        )

    async def _branch(self) -> str:
        return (await self._git.run(self.checkout, "branch", "--show-current")).strip()

    async def _has(self, ref: str) -> bool:
        return await self._git.succeeds(self.checkout, "rev-parse", "--verify", "--quiet", f"refs/{ref}^{{commit}}")


def _token(repo: RepoRef) -> str | None:
    return repo.token.get_secret_value() if repo.token is not None else None


def _file_changes(name_status: str) -> list[FileChange]:
    """Read `diff --name-status -z`: a status, then one path, or two for a rename."""
    words = iter(name_status.rstrip("\0").split("\0"))
    changes = []
    for status in words:
        path = next(words, "")
        if status[:1] in {"R", "C"}:
            path = next(words, path)
        if path:
            changes.append(FileChange(path=path, change_type=_CHANGES.get(status[:1], ChangeType.MODIFIED)))
    return changes
