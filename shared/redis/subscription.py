"""What a consumer asks for and what it is handed: subscriptions, deliveries, received entries, statistics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, NamedTuple

from shared.contracts.topology import M, Stream


class Delivery(NamedTuple):
    """Where a message came from; `attempt` is its delivery count, 1 for the first.

    It is the entry's fence as well: whoever takes an entry over gets a higher number.
    """

    stream: str
    entry_id: str
    group: str
    attempt: int


@dataclass(frozen=True, slots=True)
class StreamSub(Generic[M]):
    """One consumer of one group; its name is one process's alone.

    The handler's return acknowledges. A PlatformError is treated by its category; any other exception is a bug: it is
    logged and treated as transient. Messages with the same `ordering_key` are handled one after the other by this
    consumer, in stream order; replicas of the group share keys, so order holds per process only.

    A handler may run as long as it wants: what it has in hand is kept young. `reclaim_idle_ms` is how long a process
    may be gone before others take its work over; should that happen to a living one, its handler is cancelled.

    Names in the group that were not used for `forget_seconds` go once nothing is pending under them.

    With `message_id` set, a message that another entry brought in the last `remember_seconds` is not handled again.
    """

    stream: Stream[M]
    group: str
    consumer: str
    handler: Callable[[M, Delivery], Awaitable[None]]
    concurrency: int = 5
    batch: int = 128
    block_ms: int = 2000
    reclaim_idle_ms: int = 60_000
    forget_seconds: float = 86_400.0
    ordering_key: Callable[[M], str] | None = None
    max_per_second: float | None = None
    message_id: Callable[[M], str] | None = None
    remember_seconds: float = 86_400.0
    service: str = ""


@dataclass(frozen=True, slots=True)
class Received(Generic[M]):
    """One fetched message that its holder acknowledges itself."""

    entry_id: str
    message: M
    attempt: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a group has before it: entries in hand, entries unread, and how long ago the oldest of both was written."""

    pending: int
    lag: int
    oldest_age_seconds: float


@dataclass(frozen=True, slots=True)
class GroupStats:
    """`lag` is None where the server does not report it (Redis before 7.0)."""

    pending: int
    lag: int | None
    consumers: int


@dataclass(frozen=True, slots=True)
class StreamStats:
    length: int
    last_id: str
    groups: Mapping[str, GroupStats] = field(default_factory=dict)
