"""Finds and ends processes a stack left behind, by marks in their environment that only its children carry."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

STACK_MARK = "CODEGEN_STACK_HOME"
_HOMES = ("HOME", "WORKSPACE", "DATA_DIR")


def _belongs(environment: dict[str, str], home: Path) -> bool:
    inside = f"{home}/"
    return environment.get(STACK_MARK) == str(home) or any(
        environment.get(name, "").startswith(inside) for name in _HOMES
    )


def leftovers(home: Path) -> list[psutil.Process]:
    """Return live processes that belong to a home, the caller and its ancestors excepted."""
    spared = {psutil.Process().pid, *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            # A Redis server writes its title over its environment; the folder of its data tells whose it is.
            is_store = process.name() == "redis-server" and process.cwd().startswith(f"{home}/")
            if is_store or _belongs(process.environ(), home):
                found.append(process)
    return found


def sweep(home: Path, grace_seconds: float = 3.0) -> list[int]:
    """End what a home left behind and return the pids."""
    found = leftovers(home)
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(found, timeout=grace_seconds)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=grace_seconds)
    return [process.pid for process in found]
