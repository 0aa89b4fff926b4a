"""The ports of one stack: chosen once so that addresses stay the same, chosen anew when somebody took one.

They lie together, applications first, below the ports the system gives to connections: a service that is started again
must not find its port taken. As long as a stack runs it holds the last port of its block, so that no other chooses it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from shared.runtime.ports import LOOPBACK, free_port, is_free

APPLICATION_PORTS = 100
FIRST_APPLICATIONS = 5
BLOCK = APPLICATION_PORTS + 20
BLOCKS = range(8100, 30_000 - BLOCK, BLOCK)


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


SERVICES = tuple(field.name for field in fields(Ports) if field.name != "applications")


@contextlib.contextmanager
def claimed_ports(path: Path) -> Iterator[Ports]:
    """Return the stack's ports; one that another program listens on by now is replaced and remembered.

    Until the block ends no other stack chooses a port beside them. When the block of ports belongs to somebody else by
    now, applications keep their addresses and services get ports from elsewhere.
    """
    known: dict[str, int] = {}
    with contextlib.suppress(FileNotFoundError, ValueError):
        known = {str(name): int(port) for name, port in json.loads(path.read_text()).items()}
    before = known.get("applications")
    with socket.socket() as claim:
        ours = _claimed(claim, [before] if before else _unused_blocks())
        chosen = {"applications": ours or before or BLOCKS.start}
        for place, name in enumerate(SERVICES, APPLICATION_PORTS):
            wanted = [port for port in (known.get(name), ours and ours + place) if port]
            candidates = itertools.chain(wanted, iter(free_port, None))
            chosen[name] = next(port for port in candidates if port not in chosen.values() and is_free(port))
        path.write_text(json.dumps(chosen, indent=1))
        yield Ports(**chosen)


def _unused_blocks() -> Iterator[int]:
    """Return, in any order, the blocks in which no other program is seen."""
    for start in random.SystemRandom().sample(BLOCKS, len(BLOCKS)):
        used = (*range(start, start + FIRST_APPLICATIONS), *range(start + APPLICATION_PORTS, start + BLOCK - 1))
        if all(is_free(port) for port in used):
            yield start


def _claimed(claim: socket.socket, starts: Iterable[int]) -> int | None:
    """Take the last port of the first of these blocks that no other stack has, and return its start."""
    for start in starts:
        with contextlib.suppress(OSError):
            claim.bind((LOOPBACK, start + BLOCK - 1))
            return start
    return None
