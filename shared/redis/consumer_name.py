"""One process per consumer name: who reads under another's name would be handed what that one has in hand.

The name is a key with the holder's connection as value. A holder that neither renews nor is connected has died.
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
