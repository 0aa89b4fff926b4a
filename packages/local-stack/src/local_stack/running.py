"""What other commands know of a running stack: its state file, and how to end it."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from local_stack.errors import NotRunning
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


def read_state(layout: Layout) -> StackState:
    """Return the state of the running stack; NotRunning when its supervisor is gone."""
    try:
        state = StackState.model_validate(json.loads(layout.state_file.read_text()))
    except (FileNotFoundError, ValueError):
        raise NotRunning from None
    if not psutil.pid_exists(state.pid):
        raise NotRunning
    return state


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
