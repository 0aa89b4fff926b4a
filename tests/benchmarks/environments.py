"""A virtual environment per peer: made on first use from its pinned requirements, kept below .codegen/bench."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = Path(__file__).parent / "requirements"
KEPT = ROOT / ".codegen" / "bench"


class CannotRun(Exception):
    """A benchmark could not be run; its text says why."""


def interpreter(name: str) -> str:
    """Return the Python that runs a peer; no name is this project's own."""
    if not name:
        return sys.executable
    wanted = REQUIREMENTS / f"{name}.txt"
    stamp = hashlib.sha256(wanted.read_bytes()).hexdigest()
    folder = KEPT / "venv" / name
    mark = folder / ".installed"
    if not (mark.exists() and mark.read_text() == stamp):
        print(f"bench: installing {name} into {folder.relative_to(ROOT)}", file=sys.stderr)
        uv = _uv()
        _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        _run(uv, "pip", "install", "--quiet", "--python", str(folder / "bin/python"), "-r", str(wanted))
        mark.write_text(stamp)
    return str(folder / "bin/python")


def _uv() -> str:
    kept = ROOT / ".codegen" / "tools" / "bin" / "uv"
    found = shutil.which("uv") or (str(kept) if kept.exists() else None)
    if found is None:
        raise CannotRun("uv was not found: run `make setup` first")
    return found


def _run(*command: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise CannotRun(f"{' '.join(command[:3])} failed: {done.stdout.strip()[-500:]}")
