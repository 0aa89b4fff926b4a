"""One process worker on disk: home, workspace and the run directory with its spec, pid and exit code."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from worker_manager.runtime.port import InstanceState, WorkerInstance
from worker_manager.runtime.processes import Match, ProcessIdentity, is_marked, runs_as
from worker_manager.runtime.shim import write_atomically

LOG_LIMIT_BYTES = 10_000_000
SHARED_TEMP_DIRS = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))  # noqa: S108 - swept, never written


class Limits(BaseModel):
    model_config = ConfigDict(frozen=True)

    pids: int
    nofile: int = 8192
    nice: int = 5
    oom_score_adj: int = 500


class ProcessSpec(BaseModel):
    """`spec.json`: what the shim starts, and what a restarted manager knows the worker by."""

    model_config = ConfigDict(frozen=True)

    worker_id: str
    uid: int | None
    gid: int | None
    command: list[str]
    env: dict[str, str]
    cwd: str
    log: str
    limits: Limits
    labels: dict[str, str]
    created_at: datetime
    grace_seconds: float


@dataclass(frozen=True, slots=True)
class Supervised:
    """The shim that supervises a worker, and the worker's own pid (leader of its group and session)."""

    shim: ProcessIdentity
    worker_pid: int


class WorkerDirectory:
    """Blocking file work on one worker's directory: call it in a thread."""

    def __init__(self, root: Path, worker_id: str) -> None:
        self.worker_id = worker_id
        self.path = root / worker_id
        self.home = self.path / "home"
        self.temporary = self.home / "tmp"
        self.workspace = self.path / "workspace"
        self.run = self.path / "run"
        self.log = self.run / "worker.log"
        self._spec = self.run / "spec.json"
        self._paused = self.run / "paused"

    def prepare(self, spec: ProcessSpec, files: Mapping[Path, str]) -> None:
        """Make the directories, owned by the worker, then the spec: with it the worker exists."""
        self.path.mkdir(mode=0o711, exist_ok=True)
        self.run.mkdir(mode=0o700, exist_ok=True)
        for folder in (self.home, self.temporary, self.workspace):
            folder.mkdir(mode=0o700, exist_ok=True)
            self._give(folder, spec)
        for path, text in files.items():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o600)
            self._give(path.parent, spec)
            self._give(path, spec)
        write_atomically(str(self._spec), spec.model_dump(mode="json"))

    @staticmethod
    def _give(path: Path, spec: ProcessSpec) -> None:
        if spec.uid is not None and spec.gid is not None:
            os.chown(path, spec.uid, spec.gid, follow_symlinks=False)

    def spec(self) -> ProcessSpec | None:
        content = _read_json(self._spec)
        try:
            return None if content is None else ProcessSpec.model_validate(content)
        except ValidationError:
            return None

    def supervised(self) -> Supervised | None:
        content = _read_json(self.run / "pid")
        if content is None:
            return None
        identity = ProcessIdentity(int(content["pid"]), int(content["start_ticks"]), str(content["boot_id"]))
        return Supervised(identity, int(content["worker_pid"]))

    def mark_paused(self, *, is_paused: bool) -> None:
        if is_paused:
            self._paused.touch()
        else:
            self._paused.unlink(missing_ok=True)

    def members(self) -> Match:
        """Match every process of this worker."""
        spec = self.spec()
        return runs_as(spec.uid) if spec is not None and spec.uid is not None else is_marked(self.worker_id)

    def instance(self) -> WorkerInstance | None:
        """Return what the files and the process table say; None when the worker was never fully created."""
        spec = self.spec()
        if spec is None:
            return None
        supervised = self.supervised()
        # The order matters: the shim writes the exit code before it ends.
        is_alive = supervised is not None and supervised.shim.is_alive()
        ended = _read_json(self.run / "exit_code")
        state = InstanceState.CREATED
        if ended is not None or (supervised is not None and not is_alive):
            state = InstanceState.EXITED
        elif is_alive:
            state = InstanceState.PAUSED if self._paused.exists() else InstanceState.RUNNING
        return WorkerInstance(
            worker_id=self.worker_id,
            state=state,
            labels=spec.labels,
            created_at=spec.created_at,
            pid=supervised.worker_pid if supervised is not None and is_alive else None,
            exit_code=int(ended["exit_code"]) if ended is not None else None,
            ended_at=self._ended_at(ended) if state is InstanceState.EXITED else None,
        )

    def _ended_at(self, ended: dict[str, Any] | None) -> datetime:
        seconds = float(ended["at"]) if ended is not None else (self.run / "pid").stat().st_mtime
        return datetime.fromtimestamp(seconds, UTC)

    def bound_log(self) -> None:
        """Empty a log that grew past its bound; its writers append, so they go on at the start."""
        with contextlib.suppress(FileNotFoundError):
            if self.log.stat().st_size > LOG_LIMIT_BYTES:
                os.truncate(self.log, 0)

    def delete(self) -> None:
        """Delete the directory and what the worker's own user left in the shared temporary folders."""
        spec = self.spec()
        if spec is not None and spec.uid is not None:
            _delete_owned_by(spec.uid)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path)


def _delete_owned_by(uid: int) -> None:
    for folder in SHARED_TEMP_DIRS:
        for entry in folder.iterdir() if folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                if entry.lstat().st_uid != uid:
                    continue
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def list_directories(root: Path) -> list[WorkerDirectory]:
    """Return the worker directories under a root, sorted by id."""
    return [WorkerDirectory(root, entry.name) for entry in sorted(root.iterdir()) if (entry / "run").is_dir()]
