"""What the doctor says about containers: a Docker engine and Compose are optional, so their absence is no failure."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from local_stack.doctor import Finding

ANSWER_SECONDS = 10.0
OPTIONAL = "optional, for `make up`; `scripts/docker/engine.sh` sets it up"


def does_answer() -> bool:
    """Tell whether an engine can be asked anything."""
    return bool(_engine_version())


def _engine_version() -> str:
    return first_line(["docker", "version", "--format", "{{.Server.Version}}"])


def engine_findings() -> list[Finding]:
    """Return whether a Docker engine answers and which Compose there is."""
    if shutil.which("docker") is None:
        return [Finding("docker engine", True, f"not installed ({OPTIONAL})")]
    engine = _engine_version()
    if not engine:
        return [Finding("docker engine", True, f"installed, but it does not answer ({OPTIONAL})")]
    return [Finding("docker engine", True, engine), _compose()]


def _compose() -> Finding:
    plugin = first_line(["docker", "compose", "version", "--short"])
    alone = "" if plugin else first_line(["docker-compose", "version", "--short"])
    return Finding("docker compose", True, plugin or alone or f"not installed ({OPTIONAL})")


def first_line(command: Sequence[str]) -> str:
    """Return the first line a command prints; nothing when it fails, hangs or is not there."""
    return next(iter(lines(command)), "")


def lines(command: Sequence[str]) -> list[str]:
    """Return the lines a command prints; none when it fails, hangs or is not there."""
    try:
        done = subprocess.run(list(command), capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.strip().splitlines() if done.returncode == 0 else []
