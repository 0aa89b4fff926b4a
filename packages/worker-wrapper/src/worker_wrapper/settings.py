"""What the wrapper is told through its environment; the only module that reads it. Light on purpose: no pydantic."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shared.contracts.vocabulary import AgentType, WorkerType
from worker_wrapper.errors import SettingsError

PREFIX = "WORKER_"
TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off", ""})


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines and life-times, in seconds."""

    start_seconds: float = 120.0
    idle_seconds: float = 900.0
    linger_seconds: float = 5.0
    kill_grace_seconds: float = 5.0
    session_ttl_seconds: int = 7200
    redis_patience_seconds: float = 300.0
    heartbeat_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class WrapperSettings:
    """One worker's identity, places and limits.

    `state_dir` holds unsent outputs and credentials for the length of one git command; without it nothing is kept.
    `environ` is what agents inherit from, by allow-list only.
    """

    worker_id: str
    worker_type: WorkerType = WorkerType.DEVELOPER
    agent_type: AgentType = AgentType.CLAUDE
    agent_command: str | None = None
    agent_model: str | None = None
    redis_url: str = field(default="redis://127.0.0.1:6379/0", repr=False)
    api_url: str = ""
    api_token: str = field(default="", repr=False)
    user_id: str | None = None
    task_id: str | None = None
    run_id: str | None = None
    request_id: str | None = None
    allowed_commands: str | None = None
    is_pooled: bool = True
    consumer: str = ""
    session_owner: str = ""
    workspace: Path = Path("/workspace")
    state_dir: Path | None = None
    limits: Limits = Limits()
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def consumer_name(self) -> str:
        return self.consumer or self.worker_id

    @property
    def secrets(self) -> list[str]:
        """Return the values that must never leave in a transcript or log line."""
        named = [value for name, value in self.environ.items() if name.endswith(("_KEY", "_TOKEN", "_SECRET"))]
        return [value for value in [self.api_token, *named] if len(value) >= 8]


class _Names:
    """Reads `NAME` or `WORKER_NAME`, the prefixed one first."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str) -> str | None:
        for candidate in (PREFIX + name.removeprefix(PREFIX), name):
            value = self._environ.get(candidate, "").strip()
            if value:
                return value
        return None

    def raw(self, name: str) -> str | None:
        return self._environ.get(PREFIX + name, self._environ.get(name))

    def seconds(self, name: str, default: float) -> float:
        value = self.text(name)
        if value is None:
            return default
        try:
            seconds = float(value)
        except ValueError:
            raise SettingsError(f"{name}={value!r} is not a number of seconds") from None
        if not 0 < seconds < float("inf"):
            raise SettingsError(f"{name}={value!r} must be more than 0 seconds")
        return seconds

    def flag(self, name: str, default: bool) -> bool:
        value = self.text(name)
        if value is None:
            return default
        word = value.lower()
        if word not in TRUE_WORDS | FALSE_WORDS:
            raise SettingsError(f"{name}={value!r} is neither true nor false")
        return word in TRUE_WORDS


def _limits(names: _Names) -> Limits:
    known = Limits()
    return Limits(
        start_seconds=names.seconds("START_DEADLINE_SECONDS", known.start_seconds),
        idle_seconds=names.seconds("IDLE_DEADLINE_SECONDS", known.idle_seconds),
        linger_seconds=names.seconds("LINGER_SECONDS", known.linger_seconds),
        kill_grace_seconds=names.seconds("KILL_GRACE_SECONDS", known.kill_grace_seconds),
        session_ttl_seconds=int(names.seconds("SESSION_TTL", known.session_ttl_seconds)),
        redis_patience_seconds=names.seconds("REDIS_PATIENCE_SECONDS", known.redis_patience_seconds),
        heartbeat_seconds=names.seconds("HEARTBEAT_SECONDS", known.heartbeat_seconds),
    )


def load_settings(environ: Mapping[str, str] | None = None) -> WrapperSettings:
    """Return the settings of this process; SettingsError names the variable that is missing or wrong."""
    values = dict(os.environ if environ is None else environ)
    names = _Names(values)
    worker_id = names.text("WORKER_ID")
    if worker_id is None:
        raise SettingsError("WORKER_ID is not set")
    try:
        worker_type = WorkerType((names.text("WORKER_TYPE") or "developer").lower())
        agent_type = AgentType((names.text("AGENT_TYPE") or "claude").lower())
    except ValueError as error:
        raise SettingsError(f"WORKER_TYPE or AGENT_TYPE: {error}") from None
    home = Path(values.get("HOME") or "/home/worker")
    return WrapperSettings(
        worker_id=worker_id,
        worker_type=worker_type,
        agent_type=agent_type,
        agent_command=names.text("AGENT_COMMAND"),
        agent_model=names.text("AGENT_MODEL"),
        redis_url=names.text("REDIS_URL") or "redis://127.0.0.1:6379/0",
        api_url=names.text("API_URL") or "",
        api_token=names.text("API_TOKEN") or "",
        user_id=names.text("USER_ID"),
        task_id=names.text("TASK_ID"),
        run_id=names.text("RUN_ID"),
        request_id=names.text("REQUEST_ID"),
        allowed_commands=names.raw("ALLOWED_COMMANDS"),
        is_pooled=names.flag("POOLED", True),
        consumer=names.text("CONSUMER") or "",
        session_owner=names.text("SESSION_OWNER") or "",
        workspace=Path(names.text("WORKSPACE") or "/workspace"),
        state_dir=home / ".worker",
        limits=_limits(names),
        environ=values,
    )


def local_settings(worker_id: str, worker_type: str, agent_command: str | None) -> WrapperSettings:
    """Return settings for a wrapper inside somebody's own process: it works in the current directory, keeps nothing."""
    environ = dict(os.environ)
    # A command that begins with `python` finds at least the interpreter that runs us.
    environ["PATH"] = os.pathsep.join([environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])
    return WrapperSettings(
        worker_id=worker_id,
        worker_type=WorkerType(worker_type),
        agent_command=agent_command,
        workspace=Path.cwd(),
        environ=environ,
    )


def environment() -> Mapping[str, str]:
    """Return this process's environment as it is, for those who only look."""
    return dict(os.environ)
