"""The half of a bus that every implementation shares: consuming and fetching over a GroupLog."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

from shared.contracts.topology import M, Stream
from shared.redis.attempts import Attempts
from shared.redis.codec import Decoders
from shared.redis.consumer import Consumer
from shared.redis.errors import NameTaken
from shared.redis.fetcher import Fetcher
from shared.redis.log import GroupLog
from shared.redis.metrics import BusMetrics
from shared.redis.retry import RetryPolicy
from shared.redis.subscription import Delivery, Received, StreamSub


class GroupBus(ABC):
    """Subclasses add publishing and say how a group is reached."""

    def __init__(self, service: str, retry: RetryPolicy) -> None:
        self.metrics = BusMetrics()
        self._service = service
        self._retry = retry
        self._decoders = Decoders()
        self._fetchers: dict[tuple[str, str, str], Fetcher[Any]] = {}

    @abstractmethod
    def _open_log(self, sub: StreamSub[Any]) -> GroupLog:
        """Return one consumer's view of its group."""

    async def consume(self, sub: StreamSub[M], stop: asyncio.Event) -> None:
        await self._consumer(sub).run(stop)

    async def drain_once(self, sub: StreamSub[M]) -> int:
        return await self._consumer(sub).drain()

    async def fetch(
        self,
        stream: Stream[M],
        group: str,
        consumer: str,
        *,
        count: int = 1,
        block_ms: int | None = None,
        reclaim_idle_ms: int | None = None,
    ) -> list[Received[M]]:
        key = (stream.name, group, consumer)
        if key not in self._fetchers:
            self._fetchers[key] = self._fetcher(stream, group, consumer, block_ms or 0)
        return await self._fetchers[key].fetch(count, block_ms, reclaim_idle_ms)

    async def ack(self, stream: Stream[M], group: str, entry_id: str) -> None:
        await self._ack(stream.name, group, entry_id)
        for (name, of_group, _), fetcher in self._fetchers.items():
            if (name, of_group) == (stream.name, group):
                fetcher.held.discard(entry_id)

    def render_metrics(self) -> str:
        return self.metrics.render()

    async def close(self) -> None:
        for fetcher in self._fetchers.values():
            await fetcher.close()
        self._fetchers.clear()

    def check_names(self) -> None:
        """Raise NameTaken while a consumer of this bus waits for its name."""
        if waiting := self.metrics.waiting_for_name():
            raise NameTaken(f"another process reads under the name of this one's consumer of {', '.join(waiting)}")

    @abstractmethod
    async def _ack(self, name: str, group: str, entry_id: str) -> None:
        """Acknowledge one entry."""

    def _consumer(self, sub: StreamSub[M]) -> Consumer[M]:
        named = replace(sub, service=sub.service or self._service)
        counters = self.metrics.group(sub.stream.name, sub.group)
        return Consumer(self._open_log(named), named, self._decoders.of(sub.stream), self._retry, counters)

    def _fetcher(self, stream: Stream[M], group: str, consumer: str, block_ms: int) -> Fetcher[M]:
        sub = StreamSub(stream, group, consumer, _unused, block_ms=block_ms, service=self._service)
        log = self._open_log(sub)
        counters = self.metrics.group(stream.name, group)
        return Fetcher(log, Attempts(log, sub, self._decoders.of(stream), self._retry, counters))


async def _unused(_: Any, __: Delivery) -> None:
    """A fetcher's caller handles its messages itself."""
