"""One entry at a time: look at it, publish its body again, remove it; and drop what is older than an id."""

from __future__ import annotations

from redis.asyncio import Redis

from shared.redis.codec import FIELD
from shared.redis.connections import run
from shared.redis.group_log import entries
from shared.redis.log import Entry


async def find(redis: Redis, stream: str, entry_id: str) -> Entry | None:
    """Return the entry with this id; None when it is gone."""
    found = entries(await run(redis, "XRANGE", stream, entry_id, entry_id))
    return found[0] if found else None


async def append_to_existing(redis: Redis, stream: str, body: str) -> str | None:
    """Append a body and return its id; None when there is no such stream, which is then not made."""
    reply: bytes | None = await run(redis, "XADD", stream, "NOMKSTREAM", "*", FIELD, body.encode())
    return reply.decode() if reply is not None else None


async def remove(redis: Redis, stream: str, entry_id: str) -> bool:
    """Remove an entry; False when it was gone."""
    return bool(await run(redis, "XDEL", stream, entry_id))


async def drop_below(redis: Redis, stream: str, entry_id: str) -> int:
    """Drop every entry with a lower id, whoever has read it or not; return how many went."""
    return int(await run(redis, "XTRIM", stream, "MINID", entry_id))
