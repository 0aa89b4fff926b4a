"""The bus over a real Redis: typed publish, consume, fetch, observe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from shared.contracts.topology import M, Stream
from shared.logging import get_logger
from shared.redis import single_entries
from shared.redis.codec import Undecodable, encode
from shared.redis.connections import Connections, pack, run
from shared.redis.errors import BusRefused
from shared.redis.group_bus import GroupBus
from shared.redis.group_log import RedisGroupLog, ensure_group, entries
from shared.redis.log import FIRST, GroupLog
from shared.redis.publisher import Publisher
from shared.redis.retry import RetryPolicy
from shared.redis.subscription import GroupStats, StreamStats, StreamSub
from shared.redis.trimming import trim

log = get_logger(__name__)


class RedisStreamClient(GroupBus):
    """Implements Bus. Connects on first use; a Redis client that was given stays its giver's to close."""

    def __init__(
        self,
        redis: Redis | None = None,
        *,
        url: str | None = None,
        service: str = "",
        retry: RetryPolicy | None = None,
    ) -> None:
        super().__init__(service, retry or RetryPolicy())
        self._connections = Connections(redis, url, service)
        self._publisher = Publisher(self._connections)

    async def publish(self, stream: Stream[M], message: M) -> str:
        entry_id = await self._publisher.add(stream.name, encode(message))
        self.metrics.count_published(stream.name)
        return entry_id

    async def publish_many(self, stream: Stream[M], messages: Sequence[M]) -> list[str]:
        ids = await self._publisher.add_many(stream.name, [encode(message) for message in messages])
        self.metrics.count_published(stream.name, len(ids))
        return ids

    async def ensure_group(self, stream: Stream[M], group: str) -> None:
        await ensure_group(self._connections.commands, stream.name, group)

    async def read(
        self, stream: Stream[M], *, after: str = "0", count: int = 1000, block_ms: int | None = None
    ) -> list[tuple[str, M]]:
        decoder = self._decoders.of(stream)
        while True:
            page = entries(await self._page(stream.name, after, count, block_ms))
            found: list[tuple[str, M]] = []
            for entry in page:
                try:
                    found.append((entry.id, decoder.decode(entry.body)))
                except Undecodable as error:
                    log.warning("entry skipped", stream=stream.name, entry=entry.id, error=str(error))
            if found or not page:
                return found
            after = page[-1].id

    async def stats(self, stream: Stream[M]) -> StreamStats:
        try:
            info = await self._run("XINFO STREAM", stream.name)
            groups = await self._run("XINFO GROUPS", stream.name)
        except BusRefused as error:
            if "no such key" not in str(error):
                raise
            return StreamStats(0, FIRST)
        by_name = {
            _text(group["name"]): GroupStats(group["pending"], group.get("lag"), group["consumers"]) for group in groups
        }
        return StreamStats(info["length"], _text(info["last-generated-id"]), by_name)

    async def trim(self, stream: Stream[M]) -> int:
        return await trim(self._connections.commands, stream.name, stream.retention)

    async def entry(self, stream: Stream[M], entry_id: str) -> M | None:
        found = await single_entries.find(self._connections.commands, stream.name, entry_id)
        try:
            return self._decoders.of(stream).decode(found.body) if found is not None else None
        except Undecodable as error:
            log.warning("entry skipped", stream=stream.name, entry=entry_id, error=str(error))
            return None

    async def republish_raw(self, stream: Stream[Any], body: str) -> str | None:
        entry_id = await single_entries.append_to_existing(self._connections.commands, stream.name, body)
        if entry_id is not None:
            self.metrics.count_published(stream.name)
        return entry_id

    async def remove(self, stream: Stream[Any], entry_id: str) -> bool:
        return await single_entries.remove(self._connections.commands, stream.name, entry_id)

    async def drop_below(self, stream: Stream[Any], entry_id: str) -> int:
        return await single_entries.drop_below(self._connections.commands, stream.name, entry_id)

    async def expire(self, stream: Stream[M], seconds: float) -> None:
        await self._run("PEXPIRE", stream.name, int(seconds * 1000))

    async def ping(self) -> None:
        await self._run("PING")
        self.check_names()

    async def close(self) -> None:
        await self._publisher.close()
        await super().close()
        await self._connections.close()

    def _open_log(self, sub: StreamSub[Any]) -> GroupLog:
        return RedisGroupLog(
            self._connections,
            sub.stream.name,
            sub.group,
            sub.consumer,
            block_ms=sub.block_ms,
            retention=sub.stream.retention,
        )

    async def _ack(self, name: str, group: str, entry_id: str) -> None:
        await self._run("XACK", name, group, entry_id)

    async def _page(self, name: str, after: str, count: int, block_ms: int | None) -> list[Any]:
        """Return raw entries after an id; waiting takes a connection of its own for this one call."""
        if block_ms is None:
            reply = await self._run("XREAD", "COUNT", count, "STREAMS", name, after)
            return list(reply[0][1]) if reply else []
        reader = self._connections.open_reader("observer", block_ms)
        try:
            waiting = ("XREAD", "COUNT", count, "BLOCK", block_ms, "STREAMS", name, after)
            reply = await reader.exchange(pack(*[str(word).encode() for word in waiting]))
        finally:
            await reader.close()
        return list(reply[0][1]) if reply else []

    async def _run(self, *command: str | int) -> Any:
        return await run(self._connections.commands, *command)


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()
