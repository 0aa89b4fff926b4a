"""The keys the bus keeps beside its streams."""

from __future__ import annotations


def consumer_name_key(stream: str, group: str, consumer: str) -> str:
    """Return where the process that reads under a consumer's name is noted."""
    return f"bus:consumer:{stream}:{group}:{consumer}"


def inbox_key(stream: str, group: str, message_id: str) -> str:
    """Return where a group notes which entry brought a message first."""
    return f"bus:inbox:{stream}:{group}:{message_id}"
