"""Redis keys the bot owns, and the one it reads of worker-manager's."""

from __future__ import annotations

SESSION_TTL_SECONDS = 86_400
REFUSAL_TTL_SECONDS = 3600


def session(user_id: str) -> str:
    """Which PO worker serves a user."""
    return f"session:{user_id}"


def refused(telegram_id: int) -> str:
    """Remembers that a stranger has been told."""
    return f"telegram:refused:{telegram_id}"


def worker_status(worker_id: str) -> str:
    """worker-manager's status hash, read only."""
    return f"worker:status:{worker_id}"
