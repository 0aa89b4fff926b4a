"""Which entry brought a message first, kept for a while: another entry with the same message is a duplicate.

The entry's own redelivery is none. Whether its effect happened is for the pending list to know.
"""

from __future__ import annotations

from redis.asyncio import Redis

from shared.redis.connections import run

# KEYS: inbox. ARGV: entry id, milliseconds. Returns 1 for the entry that came first, however often.
_ADMIT = """
local first = redis.call('GET', KEYS[1])
if first and first ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


async def admit(redis: Redis, key: str, entry_id: str, seconds: float) -> bool:
    """Note an entry as the bringer of its message; False when another one brought it before."""
    return bool(await run(redis, "EVAL", _ADMIT, 1, key, entry_id, int(seconds * 1000)))
