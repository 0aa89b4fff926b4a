"""The releases of one application on disk: unpacked trees and the environments they share."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infra_service.appd.errors import BadRelease
from infra_service.appd.processes import MARK, Launch, run, tail
from infra_service.appd.settings import build_environment
from infra_service.appd.unpacking import unpack

KEPT_RELEASES = 3
_ANY_REQUIREMENT = re.compile(r"^\s*[^#\s]", re.MULTILINE)
_LOCAL_REQUIREMENT = re.compile(r"^\s*(-|\.|/|file:)|@\s*(file:|\.)", re.MULTILINE)


@dataclass(frozen=True)
class Owner:
    """Whom an application's files and processes belong to; uid None means this process's user."""

    mark: str
    uid: int | None

    def give(self, path: Path) -> None:
        """Hand over one file or folder, a link itself rather than what it points to."""
        if self.uid is not None:
            os.chown(path, self.uid, self.uid, follow_symlinks=False)

    def give_tree(self, root: Path) -> None:
        """Hand over everything below and including a folder that only this process can reach yet."""
        for folder, names, files in os.walk(root):
            for name in (*names, *files):
                self.give(Path(folder) / name)
        self.give(root)

    def private_folder(self, path: Path) -> Path:
        """Make a folder that only the application can look into."""
        if not path.exists():
            path.mkdir(mode=0o700)
            self.give(path)
        return path


class Releases:
    """Folder releases/{app}: one tree per commit, one environment per requirements.txt.

    The folder itself stays ours, so that an application cannot put a link where the next release is written.
    """

    def __init__(self, folder: Path, work: Path, owner: Owner, build_seconds: float) -> None:
        self._folder = folder
        self._work = work
        self._owner = owner
        self._build_seconds = build_seconds

    def tree(self, sha: str) -> Path:
        return self._folder / sha

    def install(self, sha: str, archive: Path) -> Path:
        """Unpack a commit and build its environment; what is there already is used again. Raises BadRelease."""
        self._folder.mkdir(exist_ok=True)
        self._folder.chmod(0o711)
        tree = self.tree(sha)
        if not tree.exists():
            self._unpack(archive, tree)
        self._build(tree, self._folder / self._environment_of(sha))
        return tree

    def _environment_of(self, sha: str) -> str:
        """Return the name noted beside the tree: the link in it is the application's to change."""
        return (self._folder / f"{sha}.env").read_text(encoding="utf-8")

    def _unpack(self, archive: Path, tree: Path) -> None:
        staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=self._folder))
        try:
            unpack(archive, staging)
            requirements = staging / "requirements.txt"
            if not requirements.is_file() or requirements.is_symlink():
                raise BadRelease("the release has no requirements.txt")
            if (staging / ".venv").exists() or (staging / ".venv").is_symlink():
                raise BadRelease("the release brings its own .venv")
            environment = _environment_name(requirements, tree.name)
            (self._folder / f"{tree.name}.env").write_text(environment, encoding="utf-8")
            (staging / ".venv").symlink_to(f"../{environment}")
            self._owner.give_tree(staging)
            staging.rename(tree)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise

    def _build(self, tree: Path, environment: Path) -> None:
        done = environment.with_suffix(".ok")
        if done.exists():
            return
        shutil.rmtree(environment, ignore_errors=True)
        self._owner.private_folder(environment)
        log = self._folder / "build.log"
        log.unlink(missing_ok=True)
        for arguments in self._steps(tree, environment, log):
            if self._run(arguments, tree, log) != 0:
                raise BadRelease("the environment could not be built from requirements.txt", tail(log, 60))
        done.touch(mode=0o600)

    def _steps(self, tree: Path, environment: Path, log: Path) -> list[list[str]]:
        python, requirements = str(environment / "bin" / "python"), str(tree / "requirements.txt")
        if not _ANY_REQUIREMENT.search((tree / "requirements.txt").read_text(errors="replace")):
            return [[sys.executable, "-m", "venv", "--without-pip", str(environment)]]
        if self._run(["uv", "--version"], tree, log) == 0:
            return [
                ["uv", "venv", "--quiet", "--no-project", "--no-config", "--python", sys.executable, str(environment)],
                ["uv", "pip", "install", "--quiet", "--no-config", "--python", python, "-r", requirements],
            ]
        return [
            [sys.executable, "-m", "venv", str(environment)],
            [
                python,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-compile",
                "--disable-pip-version-check",
                "-r",
                requirements,
            ],
        ]

    def _run(self, arguments: list[str], tree: Path, log: Path) -> int | None:
        cache = self._owner.private_folder(self._work / "cache")
        environment = {
            **build_environment(),
            "HOME": str(cache),
            "TMPDIR": str(self._owner.private_folder(self._work / "tmp")),
            "UV_CACHE_DIR": str(cache / "uv"),
            "PIP_CACHE_DIR": str(cache / "pip"),
            MARK: self._owner.mark,
        }
        try:
            return run(Launch(arguments, tree, environment, self._owner.uid, log), self._build_seconds)
        except (FileNotFoundError, PermissionError):
            # No such program on the PATH, or none that this user may run.
            return None

    def prune(self, current: str) -> None:
        """Keep the current release and the newest others, and the environments they use."""
        shas = [path.stem for path in self._folder.glob("*.env") if self.tree(path.stem).is_dir()]
        shas.sort(key=lambda sha: (sha == current, self.tree(sha).stat().st_ctime), reverse=True)
        used = {self._environment_of(sha) for sha in shas[:KEPT_RELEASES]}
        for sha in shas[KEPT_RELEASES:]:
            shutil.rmtree(self.tree(sha), ignore_errors=True)
            (self._folder / f"{sha}.env").unlink()
        for path in self._folder.glob("venv-*"):
            if path.is_dir() and path.name not in used:
                path.with_suffix(".ok").unlink(missing_ok=True)
                shutil.rmtree(path, ignore_errors=True)


def _environment_name(requirements: Path, sha: str) -> str:
    """Name the environment by what it is made of; one that refers to other files belongs to its commit alone."""
    text = requirements.read_text(encoding="utf-8", errors="replace")
    if _LOCAL_REQUIREMENT.search(text):
        text += sha
    return f"venv-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
