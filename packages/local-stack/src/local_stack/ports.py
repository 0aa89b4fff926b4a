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
from collections.abc import Iterator
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
    with socket.socket() as claim:
        start = known.get("applications") or _free_block(claim)
        is_ours = claim.getsockname()[1] != 0 or _is_claimed(claim, start)
        chosen = {"applications": start}
        for place, name in enumerate(SERVICES, start + APPLICATION_PORTS):
            wanted = [port for port in (known.get(name), place if is_ours else None) if port is not None]
            candidates = itertools.chain(wanted, iter(free_port, None))
            chosen[name] = next(port for port in candidates if port not in chosen.values() and is_free(port))
        path.write_text(json.dumps(chosen, indent=1))
        yield Ports(**chosen)


def _free_block(claim: socket.socket) -> int:
    """Claim some block in which no other stack and no other program is seen, and return its start."""
    for start in random.SystemRandom().sample(BLOCKS, len(BLOCKS)):
        used = (*range(start, start + FIRST_APPLICATIONS), *range(start + APPLICATION_PORTS, start + BLOCK - 1))
        if all(is_free(port) for port in used) and _is_claimed(claim, start):
            return start
    return BLOCKS.start


def _is_claimed(claim: socket.socket, start: int) -> bool:
    """Take a block's last port for this process; False when another one has it."""
    try:
        claim.bind((LOOPBACK, start + BLOCK - 1))
    except OSError:
        return False
    return True
