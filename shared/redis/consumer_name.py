"""One process per consumer name: who reads under another's name would be handed what that one has in hand.

A name that is held is a key with the holder's connection as value. A holder that neither renews nor is connected has
died. Names that nobody used for long are forgotten.
"""

from __future__ import annotations

from redis.asyncio import Redis

from shared.redis.connections import run
from shared.redis.keys import consumer_name_key

HOLD_SECONDS = 15.0
MISSES = 2

# KEYS: name. ARGV: holder, milliseconds, holder that has died. Returns the living holder when it is another.
_HOLD = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] and holder ~= ARGV[3] then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
"""
# KEYS: stream, name. ARGV: group, consumer, milliseconds. Looks again: dropping a consumer drops what it has in hand.
_FORGET = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #info, 2 do consumer[info[i]] = info[i + 1] end
  if consumer['name'] == ARGV[2] and consumer['pending'] == 0 and consumer['idle'] >= tonumber(ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
    return 1
  end
end
return 0
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class ConsumerName:
    """`holder` is the name of a connection that is open as long as the holder lives."""

    def __init__(self, stream: str, group: str, consumer: str, holder: str) -> None:
        self._key = consumer_name_key(stream, group, consumer)
        self._holder = holder
        self._is_held = False
        self._seen_alive = ""
        self._missed = 0

    async def hold(self, redis: Redis) -> str | None:
        """Take or renew the name; return its holder when another one lives."""
        other = await self._take(redis)
        if other is not None and not await self._lives(redis, other):
            other = await self._take(redis, instead_of=other)
        return other

    async def keep(self, redis: Redis) -> bool:
        """Renew the name; False when another took it meanwhile."""
        return await self._take(redis) is None

    async def release(self, redis: Redis) -> None:
        """Let the next one have the name at once."""
        if self._is_held:
            self._is_held = False
            await run(redis, "EVAL", _RELEASE, 1, self._key, self._holder)

    async def _take(self, redis: Redis, instead_of: str = "") -> str | None:
        milliseconds = int(HOLD_SECONDS * 1000)
        reply: bytes | None = await run(redis, "EVAL", _HOLD, 1, self._key, self._holder, milliseconds, instead_of)
        self._is_held = reply is None
        return reply.decode() if reply is not None else None

    async def _lives(self, redis: Redis, holder: str) -> bool:
        """Look for the holder's connection; one that was seen may be reconnecting, so it is missed twice."""
        clients: list[dict[str, str]] = await run(redis, "CLIENT LIST", "TYPE", "normal")
        if any(client.get("name") == holder for client in clients):
            self._seen_alive, self._missed = holder, 0
            return True
        self._missed += 1
        return holder == self._seen_alive and self._missed < MISSES


async def forget_names(redis: Redis, stream: str, group: str, idle_seconds: float) -> list[str]:
    """Drop the names of consumers that hold no entry and were not heard of for so long; return them."""
    milliseconds = int(idle_seconds * 1000)
    forgotten: list[str] = []
    for consumer in await run(redis, "XINFO CONSUMERS", stream, group):
        if consumer["pending"] == 0 and consumer["idle"] >= milliseconds:
            name = consumer["name"].decode()
            key = consumer_name_key(stream, group, name)
            if await run(redis, "EVAL", _FORGET, 2, stream, key, group, name, milliseconds):
                forgotten.append(name)
    return forgotten
