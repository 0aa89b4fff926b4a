"""What a group has before it: how much is pending and unread, and how long the oldest of it has waited."""

from __future__ import annotations

from redis.asyncio import Redis

from shared.redis.connections import run
from shared.redis.errors import GroupMissing
from shared.redis.subscription import Backlog

MOST_COUNTED = 1000

# KEYS: stream. ARGV: group, most entries counted one by one (a server before 7.0 does not know its lag).
_SCRIPT = """
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #info, 2 do group[info[i]] = info[i + 1] end
  if group['name'] == ARGV[1] then
    local unread = '(' .. group['last-delivered-id']
    local lag = group['lag'] or #redis.call('XRANGE', KEYS[1], unread, '+', 'COUNT', ARGV[2])
    local oldest = ''
    local first_unread = redis.call('XRANGE', KEYS[1], unread, '+', 'COUNT', 1)[1]
    if first_unread then oldest = first_unread[1] end
    if group['pending'] > 0 then oldest = redis.call('XPENDING', KEYS[1], ARGV[1])[2] end
    return {group['pending'], lag, oldest, redis.call('TIME')[1]}
  end
end
return false
"""


async def backlog(redis: Redis, stream: str, group: str) -> Backlog:
    """Look at a group; GroupMissing when it does not exist. Before Redis 7.0 the lag is counted up to 1,000."""
    reply = await run(redis, "EVAL", _SCRIPT, 1, stream, group, MOST_COUNTED)
    if reply is None:
        raise GroupMissing(f"NOGROUP no group {group} on {stream}")
    pending, lag, oldest, now = reply
    began_ms = int(oldest.partition(b"-")[0]) if oldest else None
    age = max(0.0, int(now) - began_ms / 1000) if began_ms is not None else 0.0
    return Backlog(int(pending), int(lag), age)
