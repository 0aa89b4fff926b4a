"""The port of the message bus: what services and fakes agree on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from shared.contracts.topology import M, Stream
from shared.redis.subscription import Received, StreamStats, StreamSub


class Bus(Protocol):
    """Typed streams. Methods raise a BusError leaf: BusUnavailable (transient), BusDenied, BusRefused, BusFull."""

    async def publish(self, stream: Stream[M], message: M) -> str:
        """Append one message and return its entry id; concurrent calls share a round trip."""
        ...

    async def publish_many(self, stream: Stream[M], messages: Sequence[M]) -> list[str]:
        """Append messages in order, in one round trip, and return their entry ids."""
        ...

    async def consume(self, sub: StreamSub[M], stop: asyncio.Event) -> None:
        """Handle messages until stop is set, then finish what was read, acknowledge and return.

        A fatal error of the handler is raised; its message stays pending.
        """
        ...

    async def drain_once(self, sub: StreamSub[M]) -> int:
        """Deliver everything readable now once and return how many deliveries were made.

        A message that fails and may be retried stays pending: the next call delivers it again.
        """
        ...

    async def ensure_group(self, stream: Stream[M], group: str) -> None:
        """Create the group at the beginning of the stream unless it exists; creates the stream as well."""
        ...

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
        """Return up to `count` messages: those this consumer left pending first, then new ones.

        block_ms=None does not wait. An entry that cannot be read goes to the dead letters.
        """
        ...

    async def ack(self, stream: Stream[M], group: str, entry_id: str) -> None:
        """Acknowledge a fetched entry."""
        ...

    async def read(
        self, stream: Stream[M], *, after: str = "0", count: int = 1000, block_ms: int | None = None
    ) -> list[tuple[str, M]]:
        """Return entries after an id without a group; entries that cannot be read are logged and left out."""
        ...

    async def stats(self, stream: Stream[M]) -> StreamStats:
        """Return length, last id and each group's backlog."""
        ...

    async def trim(self, stream: Stream[M]) -> int:
        """Drop old entries beyond the stream's retention that every group has finished; return how many."""
        ...

    async def entry(self, stream: Stream[M], entry_id: str) -> M | None:
        """Return one entry by its id; None when it is gone or cannot be read."""
        ...

    async def republish_raw(self, stream: Stream[Any], body: str) -> str | None:
        """Append a body as it is, unread, and return its id; None when the stream does not exist."""
        ...

    async def remove(self, stream: Stream[Any], entry_id: str) -> bool:
        """Remove one entry; False when it was gone."""
        ...

    async def drop_below(self, stream: Stream[Any], entry_id: str) -> int:
        """Drop every entry with a lower id, whoever has read it or not; return how many."""
        ...

    async def expire(self, stream: Stream[M], seconds: float) -> None:
        """Let a stream without groups vanish after a while."""
        ...

    def render_metrics(self) -> str:
        """Return this bus's counters in Prometheus text."""
        ...

    async def ping(self) -> None:
        """Raise BusUnavailable unless the server answers, NameTaken while a consumer of this bus waits for its name."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
