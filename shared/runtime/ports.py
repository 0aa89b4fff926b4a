"""Ports to listen on: what is free, chosen where the system does not give the same port to a connection meanwhile."""

from __future__ import annotations

import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
_EPHEMERAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_CANDIDATES = range(30_000, 32_768)


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Tell whether a port can be listened on at an address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str = LOOPBACK) -> int:
    """Return a free port, below those that any connection opened meanwhile may get, where the system has such."""
    candidates = range(_CANDIDATES.start, min(_CANDIDATES.stop, first_ephemeral_port()))
    for port in random.SystemRandom().sample(candidates, len(candidates)):
        if is_free(port, host):
            return port
    with socket.socket() as probe:
        probe.bind((host, 0))
        chosen: int = probe.getsockname()[1]
        return chosen


def first_ephemeral_port() -> int:
    """Return the lowest port the system gives to connections by itself (Linux: 32768 unless it is set otherwise)."""
    try:
        return int(_EPHEMERAL_PORTS.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _CANDIDATES.stop
