"""`worker-wrapper healthcheck`: can this image, as it is, run a worker? Looks, and imports nothing heavy."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

MODULES = ("shared", "pydantic", "redis", "structlog", "orchestrator_cli")
AGENT_BINARIES = {"claude": ("claude",), "factory": ("droid", "ps"), "mock": ()}


def find_problems(environ: Mapping[str, str]) -> list[str]:
    """Return what is missing, in words; an empty list when a worker could start."""
    problems = [f"Python module {name} is missing" for name in MODULES if importlib.util.find_spec(name) is None]
    agent = environ.get("WORKER_AGENT_TYPE") or environ.get("AGENT_TYPE") or ""
    path = environ.get("PATH", os.defpath)
    if agent and agent not in AGENT_BINARIES:
        problems.append(f"AGENT_TYPE={agent!r} is not one of {', '.join(AGENT_BINARIES)}")
    for binary in AGENT_BINARIES.get(agent, ()):
        if shutil.which(binary, path=path) is None:
            problems.append(f"{binary} is not on the PATH")
    places = {
        "HOME": environ.get("HOME", ""),
        "TMPDIR": environ.get("TMPDIR", "/tmp"),  # noqa: S108 - the place agents use, asked about and not written to
        "WORKSPACE": environ.get("WORKER_WORKSPACE") or environ.get("WORKSPACE") or "/workspace",
    }
    problems += [
        f"{name} ({place or 'not set'}) is not writable" for name, place in places.items() if not _takes(place)
    ]
    return problems


def _takes(place: str) -> bool:
    return bool(place) and Path(place).is_dir() and os.access(place, os.W_OK | os.X_OK)
