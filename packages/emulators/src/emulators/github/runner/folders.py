"""The folders of the runner and of one job, and who owns them.

What we write stays in folders the runner's user cannot change, so that no link of his can lead us elsewhere.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from emulators.github.errors import EmulatorError
from emulators.github.runner.processes import Account

JOB_PREFIX = "job-"


@dataclass(frozen=True)
class JobFolders:
    """One job's folders: `files` is ours, the others belong to the runner's user."""

    root: Path
    files: Path
    home: Path
    temp: Path
    bin: Path
    workspace: Path
    account: Account | None

    def script(self, name: str, text: str) -> Path:
        """Write a file the job may read and not change."""
        path = self.files / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)
        return path

    def exchange(self, name: str) -> Path:
        """Make an empty file the job may write, e.g. for GITHUB_OUTPUT."""
        path = self.files / name
        path.touch(mode=0o600)
        give(path, self.account)
        return path

    def staging(self, name: str) -> Path:
        """Make a folder only we can enter."""
        path = self.files / name
        path.mkdir(mode=0o700)
        return path


@dataclass(frozen=True)
class RunnerFolders:
    """The runner's folder with a folder for each job; and its caches."""

    root: Path
    account: Account | None
    caches: Path

    @property
    def uv_cache(self) -> Path:
        """Where uv keeps packages between jobs."""
        return self.caches / "uv-cache"

    @property
    def tools(self) -> Path:
        """Where native actions keep what they prepare once."""
        return self.caches / "tools"

    def prepare(self) -> list[Path]:
        """Make the folders; returns what earlier jobs left behind."""
        self.root.mkdir(parents=True, exist_ok=True)
        for path in (self.uv_cache, self.tools):
            path.mkdir(parents=True, exist_ok=True)
            give(path, self.account)
        return [path for path in self.root.iterdir() if path.name.startswith(JOB_PREFIX)]

    def job(self, job_id: int, repository: str) -> JobFolders:
        """Make the fresh folders of one job."""
        root = Path(tempfile.mkdtemp(prefix=f"{JOB_PREFIX}{job_id}-", dir=self.root))
        if self.account is not None:
            os.chown(root, os.getuid(), self.account.gid)
            root.chmod(0o750)
        workspace = root / "work" / repository / repository
        folders = JobFolders(root, root / "files", root / "home", root / "temp", root / "bin", workspace, self.account)
        folders.files.mkdir(mode=0o755)
        for path in (folders.home, folders.temp, folders.bin, root / "work", workspace.parent, workspace):
            path.mkdir(mode=0o755)
            give(path, self.account)
        return folders


def runner_root(state: Path, wanted: Path | None, account: Account | None) -> Path:
    """Choose the runner's folder: as wanted, else below the state, else, when out of reach, in the temp folder."""
    path = wanted if wanted is not None else state / "runner"
    if account is None or _reachable(path):
        return path
    if wanted is not None:
        raise EmulatorError(f"uid {account.uid} cannot reach the runner folder {path}")
    digest = hashlib.sha256(str(state).encode()).hexdigest()[:12]
    fallback = Path(tempfile.gettempdir()) / f"codegen-github-runner-{digest}"
    fallback.mkdir(mode=0o711, exist_ok=True)
    found = fallback.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise EmulatorError(f"{fallback} belongs to somebody else")
    return fallback


def runner_caches(root: Path, wanted: Path | None, account: Account | None) -> Path:
    """Choose the caches' folder: as wanted where the runner's user can reach it, else beside the jobs."""
    return wanted if wanted is not None and (account is None or _reachable(wanted)) else root


def give(path: Path, account: Account | None) -> None:
    """Hand one file or folder, not what a link points to, to the runner's user."""
    if account is not None:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def give_tree(top: Path, account: Account | None) -> None:
    """Hand over a whole tree, its top last."""
    if account is None:
        return
    for folder, folders, files in os.walk(top, topdown=False):
        for name in (*files, *folders):
            give(Path(folder) / name, account)
    give(top, account)


def remove_tree(path: Path) -> None:
    """Delete a job's folder, also where the job took away its own write permission."""

    def retry(function: object, name: str, error: object) -> None:
        os.chmod(Path(name).parent, 0o700)
        if os.path.isdir(name) and not os.path.islink(name):
            os.chmod(name, 0o700)
            shutil.rmtree(name, ignore_errors=True)
        else:
            Path(name).unlink(missing_ok=True)

    shutil.rmtree(path, onerror=retry)


def _reachable(path: Path) -> bool:
    existing = [parent for parent in (path, *path.parents) if parent.exists()]
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in existing)
