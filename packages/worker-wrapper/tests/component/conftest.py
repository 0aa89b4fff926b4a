"""What component tests share: a wrapper with a scripted agent, an in-memory Redis, and a bare repository."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis

from shared.contracts.vocabulary import AgentType, WorkerType
from worker_wrapper.settings import Limits, WrapperSettings
from worker_wrapper.wrapper import WorkerWrapper

GIT_ENV = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@example.invalid",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@example.invalid",
}
LIMITS = Limits(linger_seconds=0.2, kill_grace_seconds=0.3, redis_patience_seconds=2)


def git(cwd: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=cwd, env=GIT_ENV, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def redis() -> Any:
    return FakeAsyncRedis(decode_responses=True)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A bare repository with one commit on main: a Makefile whose tests pass."""
    seed = tmp_path / "seed"
    seed.mkdir()
    git(seed, "init", "--quiet", "--initial-branch=main")
    (seed / "Makefile").write_text("test:\n\t@echo '1 passed in 0.01s'\n")
    git(seed, "add", "--all")
    git(seed, "commit", "--quiet", "-m", "Begin")
    bare = tmp_path / "origin.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(seed), str(bare))
    return bare


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., WrapperSettings]:
    """Settings of a worker in folders of its own; `script` holds the mock agent's rules."""

    def make(script: list[dict[str, Any]] | None = None, **changes: Any) -> WrapperSettings:
        workspace, home = tmp_path / "workspace", tmp_path / "home"
        workspace.mkdir(exist_ok=True)
        home.mkdir(exist_ok=True)
        environ = {"PATH": os.environ["PATH"], "HOME": str(home)}
        if script is not None:
            path = tmp_path / "script.json"
            path.write_text(json.dumps(script))
            environ["MOCK_AGENT_SCRIPT"] = str(path)
        known: dict[str, Any] = {
            "worker_id": "w-1",
            "worker_type": WorkerType.DEVELOPER,
            "agent_type": AgentType.MOCK,
            "workspace": workspace,
            "state_dir": home / ".worker",
            "limits": LIMITS,
            "environ": environ,
        }
        return WrapperSettings(**{**known, **changes})

    return make


@pytest.fixture
def make_wrapper(redis: Any, make_settings: Callable[..., WrapperSettings]) -> Callable[..., WorkerWrapper]:
    def make(script: list[dict[str, Any]] | None = None, **changes: Any) -> WorkerWrapper:
        settings = make_settings(script, **changes)
        return WorkerWrapper(redis=redis, worker_id=settings.worker_id, settings=settings)

    return make
