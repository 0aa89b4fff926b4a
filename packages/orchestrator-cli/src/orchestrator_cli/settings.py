"""What the command line is told through its environment; the only module that reads it. Light: start-up counts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator_cli.errors import UsageFault

DEFAULT_API_URL = "http://127.0.0.1:8000"
DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"


@dataclass(frozen=True, slots=True)
class CliSettings:
    """`allowed_commands` is None for people, who may do what their token may; a worker always has a list."""

    api_url: str = DEFAULT_API_URL
    api_token: str = field(default="", repr=False)
    redis_url: str = field(default=DEFAULT_REDIS_URL, repr=False)
    worker_id: str | None = None
    user_id: str | None = None
    request_id: str | None = None
    correlation_id: str | None = None
    allowed_commands: tuple[str, ...] | None = None
    api_retry_seconds: float = 20.0


def load_settings(environ: Mapping[str, str] | None = None) -> CliSettings:
    """Return the settings of this process; UsageFault names the variable that has no meaning."""
    values = os.environ if environ is None else environ
    return CliSettings(
        api_url=values.get("API_URL") or DEFAULT_API_URL,
        api_token=values.get("API_TOKEN", ""),
        redis_url=values.get("REDIS_URL") or DEFAULT_REDIS_URL,
        worker_id=values.get("WORKER_ID") or None,
        user_id=values.get("USER_ID") or None,
        request_id=values.get("WORKER_REQUEST_ID") or None,
        correlation_id=values.get("CORRELATION_ID") or None,
        allowed_commands=parse_allowed(values.get("ALLOWED_COMMANDS")),
        api_retry_seconds=_seconds(values.get("API_RETRY_SECONDS"), 20.0),
    )


def parse_allowed(value: str | None) -> tuple[str, ...] | None:
    """Return the patterns of a JSON list or a comma list; None when the variable is not set."""
    if value is None:
        return None
    text = value.strip()
    if not text.startswith("["):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        patterns = json.loads(text)
    except ValueError:
        raise UsageFault("ALLOWED_COMMANDS begins like a JSON list but is none") from None
    if not all(isinstance(pattern, str) for pattern in patterns):
        raise UsageFault("ALLOWED_COMMANDS must hold texts like project.create")
    return tuple(patterns)


def _seconds(value: str | None, default: float) -> float:
    if not value:
        return default
    try:
        return max(float(value), 0.0)
    except ValueError:
        raise UsageFault(f"API_RETRY_SECONDS={value!r} is not a number of seconds") from None
