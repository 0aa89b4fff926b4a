"""Reads the kernel's process table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class ProcessRow(NamedTuple):
    """`state` is the kernel's letter: Z is a zombie."""

    pid: int
    state: str
    parent: int
    group: int


def processes() -> Iterator[ProcessRow]:
    """Yield every process; those that end meanwhile are left out."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        yield ProcessRow(int(entry.name), state, int(parent), int(group))


def has_living_member(group: int) -> bool:
    """Tell whether a process group holds anything but zombies."""
    return any(row.group == group and row.state != "Z" for row in processes())
