"""Entries in hand as leases: the pending list says who owns an entry, and only its owner renews or retries it.

Every check and what follows from it is one script: nobody takes the entry in between.
"""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis

from shared.redis.connections import run

PAGE = 500

# KEYS: stream. ARGV: group, consumer, entry ids. Returns the ids that belong to somebody else or were acknowledged; of
# those that are gone with the server's data nobody knows.
_KEEP = """
local lost = {}
for i = 3, #ARGV do
  local found = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)[1]
  if found and found[2] == ARGV[2] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
  elseif found or redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1] then
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
"""

# KEYS: stream. ARGV: group, consumer, entry id. Counts one more delivery.
_CLAIM = """
local found = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not found or found[2] ~= ARGV[2] then return 0 end
local claimed = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3])[1]
if claimed and claimed[2] then return 1 end
return 0
"""


async def keep(redis: Redis, stream: str, group: str, consumer: str, entry_ids: Sequence[str]) -> list[str]:
    """Make owned entries young again; return those that another consumer owns by now or that were acknowledged."""
    lost: list[str] = []
    for start in range(0, len(entry_ids), PAGE):
        page = entry_ids[start : start + PAGE]
        reply: list[bytes] = await run(redis, "EVAL", _KEEP, 1, stream, group, consumer, *page)
        lost += [entry_id.decode() for entry_id in reply]
    return lost


async def claim(redis: Redis, stream: str, group: str, consumer: str, entry_id: str) -> bool:
    """Count one more delivery of an owned entry; False when it is another's or gone."""
    return bool(await run(redis, "EVAL", _CLAIM, 1, stream, group, consumer, entry_id))
