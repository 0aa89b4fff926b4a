"""What the doctor says about containers: a Docker engine and Compose are optional, so their absence is no failure."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from local_stack.doctor import Finding

ANSWER_SECONDS = 10.0
OPTIONAL = "optional, for `make up`; `scripts/docker/engine.sh` sets it up"


def engine_findings() -> list[Finding]:
    """Return whether a Docker engine answers and which Compose there is."""
    if shutil.which("docker") is None:
        return [Finding("docker engine", True, f"not installed ({OPTIONAL})")]
    engine = _first_line(["docker", "version", "--format", "{{.Server.Version}}"])
    if not engine:
        return [Finding("docker engine", True, f"installed, but it does not answer ({OPTIONAL})")]
    return [Finding("docker engine", True, engine), _compose()]


def _compose() -> Finding:
    plugin = _first_line(["docker", "compose", "version", "--short"])
    alone = "" if plugin else _first_line(["docker-compose", "version", "--short"])
    return Finding("docker compose", True, plugin or alone or f"not installed ({OPTIONAL})")


def _first_line(command: Sequence[str]) -> str:
    """Return the first line a command prints; nothing when it fails, hangs or is not there."""
    try:
        done = subprocess.run(list(command), capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().split("\n")[0] if done.returncode == 0 else ""
