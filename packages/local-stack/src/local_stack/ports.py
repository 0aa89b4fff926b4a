"""The ports of one stack: chosen once so that addresses stay the same, chosen anew when somebody took one."""

from __future__ import annotations

import contextlib
import json
import socket
from dataclasses import dataclass, fields
from pathlib import Path

APPLICATION_PORTS = 100


@dataclass(frozen=True, slots=True)
class Ports:
    postgres: int
    redis: int
    api: int
    relay: int
    worker_manager: int
    langgraph: int
    scaffolder: int
    scheduler: int
    infra_service: int
    telegram_bot: int
    anthropic: int
    github: int
    telegram: int
    server: int
    applications: int


def is_free(port: int) -> bool:
    """Tell whether a port can be listened on at the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port(taken: set[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port


def _free_range(taken: set[int]) -> int:
    """Return the start of a range for applications, outside the ports the kernel hands out by itself."""
    for start in range(8100, 30_000, APPLICATION_PORTS):
        if start not in taken and all(is_free(start + offset) for offset in range(5)):
            return start
    return 8100


def load_or_choose(path: Path) -> Ports:
    """Return the stack's ports; one that another program listens on by now is replaced and remembered."""
    known: dict[str, int] = {}
    with contextlib.suppress(FileNotFoundError, ValueError):
        known = {str(name): int(port) for name, port in json.loads(path.read_text()).items()}
    chosen: dict[str, int] = {}
    for field in fields(Ports):
        before = known.get(field.name)
        taken = set(chosen.values())
        if field.name == "applications":
            chosen[field.name] = before or _free_range(taken)
        elif before is not None and before not in taken and is_free(before):
            chosen[field.name] = before
        else:
            chosen[field.name] = _free_port(taken | set(known.values()))
    path.write_text(json.dumps(chosen, indent=1))
    return Ports(**chosen)
