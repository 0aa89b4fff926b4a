"""The bus in memory: same semantics and the same consumer as the real one, without a server."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from shared.contracts.topology import M, Stream
from shared.redis.codec import Undecodable, encode
from shared.redis.errors import BusUnavailable
from shared.redis.group_bus import GroupBus
from shared.redis.log import GroupLog
from shared.redis.retry import RetryPolicy
from shared.redis.subscription import GroupStats, StreamStats, StreamSub
from shared.testing.memory_streams import MemoryGroupLog, MemoryStreams, number_of


class FakeRedisStreamClient(GroupBus):
    """Implements Bus. Retries come at once unless a policy is given; `is_down` makes every call fail."""

    def __init__(
        self,
        *,
        service: str = "test",
        retry: RetryPolicy | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(service, retry or RetryPolicy.immediate())
        self.streams = MemoryStreams(monotonic)
        self.is_down = False

    async def publish(self, stream: Stream[M], message: M) -> str:
        self._check()
        self.metrics.count_published(stream.name)
        return self.streams.append(stream.name, encode(message))

    async def publish_many(self, stream: Stream[M], messages: Sequence[M]) -> list[str]:
        return [await self.publish(stream, message) for message in messages]

    async def ensure_group(self, stream: Stream[M], group: str) -> None:
        self._check()
        self.streams.ensure(stream.name, group)

    async def read(
        self, stream: Stream[M], *, after: str = "0", count: int = 1000, block_ms: int | None = None
    ) -> list[tuple[str, M]]:
        self._check()
        start = self.streams.get(stream.name).last if after == "$" else number_of(after)
        found = self._after(stream, start, count)
        if not found and block_ms is not None and await self.streams.wait(block_ms / 1000):
            found = self._after(stream, start, count)
        return found

    async def stats(self, stream: Stream[M]) -> StreamStats:
        self._check()
        kept = self.streams.get(stream.name)
        groups = {
            name: GroupStats(
                len(group.pending), sum(number > group.last for number in kept.entries), len(group.consumers)
            )
            for name, group in kept.groups.items()
        }
        return StreamStats(len(kept.entries), f"{kept.last}-0" if kept.last else "0-0", groups)

    async def trim(self, stream: Stream[M]) -> int:
        self._check()
        return self.streams.trim(stream.name, stream.retention)

    async def entry(self, stream: Stream[M], entry_id: str) -> M | None:
        self._check()
        body = self.streams.get(stream.name).entries.get(number_of(entry_id))
        try:
            return self._decoders.of(stream).decode(body)
        except Undecodable:
            return None

    async def republish_raw(self, stream: Stream[Any], body: str) -> str | None:
        self._check()
        if not self.streams.exists(stream.name):
            return None
        self.metrics.count_published(stream.name)
        return self.streams.append(stream.name, body.encode())

    async def remove(self, stream: Stream[Any], entry_id: str) -> bool:
        self._check()
        missing = object()
        return self.streams.get(stream.name).entries.pop(number_of(entry_id), missing) is not missing

    async def drop_below(self, stream: Stream[Any], entry_id: str) -> int:
        self._check()
        kept = self.streams.get(stream.name).entries
        old = [number for number in kept if number < number_of(entry_id)]
        for number in old:
            del kept[number]
        return len(old)

    async def expire(self, stream: Stream[M], seconds: float) -> None:
        self._check()
        self.streams.expire(stream.name, seconds)

    async def ping(self) -> None:
        self._check()
        self.check_names()

    async def messages(self, stream: Stream[M]) -> list[M]:
        """Return every message of a stream, for assertions."""
        return [message for _, message in await self.read(stream)]

    def append_raw(self, stream: Stream[Any], body: bytes | None) -> str:
        """Append what no typed writer would; None is an entry without the field `data`."""
        return self.streams.append(stream.name, body)

    def _open_log(self, sub: StreamSub[Any]) -> GroupLog:
        self._check()
        return MemoryGroupLog(self.streams, sub.stream.name, sub.group, sub.consumer, sub.stream.retention)

    async def _ack(self, name: str, group: str, entry_id: str) -> None:
        self._check()
        found = self.streams.get(name).groups.get(group)
        if found is not None:
            found.pending.pop(number_of(entry_id), None)

    def _after(self, stream: Stream[M], start: int, count: int) -> list[tuple[str, M]]:
        decoder = self._decoders.of(stream)
        found: list[tuple[str, M]] = []
        for number, body in self.streams.get(stream.name).entries.items():
            if number > start and len(found) < count:
                try:
                    found.append((f"{number}-0", decoder.decode(body)))
                except Undecodable:
                    continue
        return found

    def _check(self) -> None:
        if self.is_down:
            raise BusUnavailable


FakeBus = FakeRedisStreamClient
