"""Every Redis key this service owns, outside streams."""

from __future__ import annotations

CREATION_QUEUE = "worker:creation_queue"
IMAGE_LAST_USED = "image:last_used"

STATUS_PREFIX = "worker:status:"


def status_key(worker_id: str) -> str:
    """Hash: what is known of one worker (fields in `records`)."""
    return STATUS_PREFIX + worker_id


def session_key(worker_id: str) -> str:
    """String written by the wrapper: the agent's session, with a TTL."""
    return f"worker:session:{worker_id}"


def heartbeat_key(worker_id: str) -> str:
    """String written by the wrapper every 10 s, TTL 30 s."""
    return f"worker:heartbeat:{worker_id}"


def death_lock_key(worker_id: str) -> str:
    """Short lock: one replica reports a death at a time."""
    return f"worker:death:{worker_id}"
