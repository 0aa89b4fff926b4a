"""Redis keys the wrapper owns, outside streams."""

from __future__ import annotations

GROUP = "worker-wrapper"


def session(owner: str) -> str:
    """Return the key of an agent's conversation; `owner` is the worker unless its memory belongs to somebody else."""
    return f"worker:session:{owner}"


def heartbeat(worker_id: str) -> str:
    """Return the key that lives as long as the worker breathes."""
    return f"worker:heartbeat:{worker_id}"


def status(worker_id: str) -> str:
    """Return the key of the hash that manager and wrapper share."""
    return f"worker:status:{worker_id}"
