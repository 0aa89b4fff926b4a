"""What other commands know of a running stack: its state file, and how to end it."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from local_stack.errors import AlreadyRunning, NotRunning
from local_stack.layout import Layout
from local_stack.sweep import sweep

STOP_SECONDS = 30.0


class ChildState(BaseModel):
    model_config = ConfigDict(extra="ignore")

    pid: int | None
    port: int | None
    is_ready: bool
    restarts: int
    log: Path


class StackState(BaseModel):
    """The state file of a stack, as its supervisor wrote it last."""

    model_config = ConfigDict(extra="ignore")

    pid: int
    children: dict[str, ChildState]
    urls: dict[str, str]
    real: list[str]
    emulated: list[str]


def is_running(layout: Layout) -> bool:
    """Tell whether a supervisor holds the home: a pid alone may belong to somebody else by now."""
    try:
        with layout.lock_file.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def require_stopped(layout: Layout) -> None:
    """Raise AlreadyRunning while a stack uses the home."""
    if is_running(layout):
        raise AlreadyRunning(f"a stack is already running in {layout.home}: stop it with `codegen down`")


def read_state(layout: Layout) -> StackState:
    """Return the state of the running stack; NotRunning when its supervisor is gone."""
    if not is_running(layout):
        raise NotRunning
    try:
        return StackState.model_validate(json.loads(layout.state_file.read_text()))
    except (FileNotFoundError, ValueError):
        raise NotRunning from None


def bring_down(layout: Layout) -> str:
    """End the running stack, or what a killed one left behind, and say what was done."""
    try:
        state = read_state(layout)
    except NotRunning:
        left = sweep(layout.home)
        layout.state_file.unlink(missing_ok=True)
        return f"no stack was running; ended {len(left)} processes left behind" if left else "no stack was running"
    process = psutil.Process(state.pid)
    process.terminate()
    _, alive = psutil.wait_procs([process], timeout=STOP_SECONDS)
    for stubborn in alive:
        stubborn.kill()
    left = sweep(layout.home)
    return "stopped" if not left else f"stopped; ended {len(left)} processes that did not stop by themselves"
