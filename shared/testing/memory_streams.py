"""Streams, groups and pending entries in memory, as Redis keeps them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shared.contracts.queues.events import DeadLetter
from shared.contracts.topology import DLQ_SUFFIX
from shared.redis.errors import GroupMissing
from shared.redis.log import FIRST, Entry, Sweep
from shared.redis.subscription import Backlog


@dataclass(slots=True)
class Pending:
    consumer: str
    delivered_at: float
    count: int


@dataclass(slots=True)
class Group:
    last: int = 0
    pending: OrderedDict[int, Pending] = field(default_factory=OrderedDict)
    consumers: dict[str, float] = field(default_factory=dict)  # by name, when each was last heard of


@dataclass(slots=True)
class MemoryStream:
    entries: OrderedDict[int, bytes | None] = field(default_factory=OrderedDict)
    appended_at: dict[int, float] = field(default_factory=dict)
    last: int = 0
    groups: dict[str, Group] = field(default_factory=dict)
    expires_at: float | None = None


def number_of(entry_id: str) -> int:
    """Return the position of an entry id; the fake's ids are `{position}-0`."""
    return int(entry_id.partition("-")[0])


class MemoryStreams:
    """Every stream of one fake bus; waiting readers are woken by each append."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self._streams: dict[str, MemoryStream] = {}
        self.holders: dict[tuple[str, str, str], object] = {}
        self.inbox: dict[tuple[str, str, str], tuple[str, float]] = {}
        self._waiters: set[asyncio.Future[None]] = set()

    def get(self, name: str) -> MemoryStream:
        """Return a stream; one that does not exist yet or has expired is empty."""
        stream = self._streams.get(name)
        if stream is None or (stream.expires_at is not None and self.monotonic() >= stream.expires_at):
            return MemoryStream()
        return stream

    def exists(self, name: str) -> bool:
        return name in self._streams and self.get(name) is self._streams[name]

    def append(self, name: str, body: bytes | None) -> str:
        """Add an entry; None stands for one without the field `data`."""
        stream = self._existing(name)
        stream.last += 1
        stream.entries[stream.last] = body
        stream.appended_at[stream.last] = self.monotonic()
        self.wake()
        return f"{stream.last}-0"

    def ensure(self, name: str, group: str) -> None:
        self._existing(name).groups.setdefault(group, Group())

    def group(self, name: str, group: str) -> Group:
        """Return a group; GroupMissing when it does not exist."""
        found = self.get(name).groups.get(group)
        if found is None:
            raise GroupMissing(f"NOGROUP no group {group} on {name}")
        return found

    def expire(self, name: str, seconds: float) -> None:
        if name in self._streams:
            self._streams[name].expires_at = self.monotonic() + seconds

    def flush(self) -> None:
        """Lose everything, as FLUSHALL does."""
        self._streams.clear()
        self.holders.clear()
        self.inbox.clear()
        self.wake()

    def trim(self, name: str, retention: int) -> int:
        stream = self.get(name)
        excess = len(stream.entries) - retention
        floors = [group.last + 1 for group in stream.groups.values()]
        floors += [min(group.pending) for group in stream.groups.values() if group.pending]
        floor = min(floors, default=stream.last + 1)
        old = [number for number in list(stream.entries)[: max(0, excess)] if number < floor]
        for number in old:
            del stream.entries[number]
        return len(old)

    def wake(self) -> None:
        """Let every waiting reader look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait(self, seconds: float) -> bool:
        """Wait for the next append; False when the time passed first."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            done, _ = await asyncio.wait({waiter}, timeout=seconds)
        finally:
            self._waiters.discard(waiter)
        return bool(done)

    def _existing(self, name: str) -> MemoryStream:
        if self.get(name) is not self._streams.get(name):
            self._streams[name] = MemoryStream()
        return self._streams[name]


class MemoryGroupLog:
    """One consumer's view of one group, in memory."""

    def __init__(self, streams: MemoryStreams, name: str, group: str, consumer: str, retention: int) -> None:
        self._streams = streams
        self._name = name
        self._group = group
        self._consumer = consumer
        self._retention = retention
        self._is_unblocked = False

    async def ensure(self) -> None:
        self._streams.ensure(self._name, self._group)

    async def read_new(self, count: int, block_ms: int | None) -> list[Entry]:
        deadline = self._streams.monotonic() + (block_ms or 0) / 1000
        while True:
            group = self._streams.group(self._name, self._group)
            group.consumers[self._consumer] = self._streams.monotonic()
            stream = self._streams.get(self._name)
            fresh = [number for number in stream.entries if number > group.last][:count]
            for number in fresh:
                group.pending[number] = Pending(self._consumer, self._streams.monotonic(), 1)
                group.last = number
            left = deadline - self._streams.monotonic()
            if fresh or self._is_unblocked or left <= 0:
                return [self._entry(number, 1) for number in fresh]
            await self._streams.wait(left)

    async def read_own(self, after: str, count: int) -> list[Entry]:
        group = self._streams.group(self._name, self._group)
        mine = [
            number
            for number, pending in sorted(group.pending.items())
            if pending.consumer == self._consumer and number > number_of(after)
        ]
        return [self._take(group, number) for number in self._kept(group, mine)[:count]]

    async def has_idle(self, min_idle_ms: int) -> bool:
        group = self._streams.group(self._name, self._group)
        latest = self._streams.monotonic() - min_idle_ms / 1000
        return any(pending.delivered_at <= latest for pending in group.pending.values())

    async def sweep(self, min_idle_ms: int, cursor: str, count: int) -> Sweep:
        group = self._streams.group(self._name, self._group)
        now = self._streams.monotonic()
        idle = [
            number
            for number, pending in sorted(group.pending.items())
            if (now - pending.delivered_at) * 1000 >= min_idle_ms and number >= number_of(cursor)
        ]
        kept = self._kept(group, idle)
        following = f"{kept[count]}-0" if len(kept) > count else FIRST
        return Sweep(following, [self._take(group, number) for number in kept[:count]])

    async def claim(self, entry_id: str) -> bool:
        group = self._streams.get(self._name).groups.get(self._group)
        number = number_of(entry_id)
        pending = group.pending.get(number) if group is not None else None
        if group is None or pending is None or pending.consumer != self._consumer or not self._kept(group, [number]):
            return False
        self._take(group, number)
        return True

    async def keep(self, entry_ids: Sequence[str]) -> list[str]:
        group = self._streams.group(self._name, self._group)
        lost: list[str] = []
        for entry_id in entry_ids:
            pending = group.pending.get(number_of(entry_id))
            if pending is not None and pending.consumer == self._consumer:
                pending.delivered_at = self._streams.monotonic()
            elif pending is not None or number_of(entry_id) in self._streams.get(self._name).entries:
                lost.append(entry_id)
        return lost

    async def ack(self, entry_ids: Sequence[str]) -> None:
        group = self._streams.get(self._name).groups.get(self._group)
        if group is not None:
            for entry_id in entry_ids:
                group.pending.pop(number_of(entry_id), None)

    async def bury(self, letter: DeadLetter, message_id: str | None = None) -> None:
        self._streams.append(self._name + DLQ_SUFFIX, letter.model_dump_json().encode())
        if message_id is not None:
            self._streams.inbox.pop((self._name, self._group, message_id), None)

    async def admit(self, message_id: str, entry_id: str, seconds: float) -> bool:
        key, now = (self._name, self._group, message_id), self._streams.monotonic()
        first, until = self._streams.inbox.get(key, (entry_id, now))
        if first != entry_id and now < until:
            return False
        self._streams.inbox[key] = (entry_id, now + seconds)
        return True

    async def hold_name(self) -> str | None:
        return None if self._take_name() else f"another {self._consumer}"

    async def keep_name(self) -> bool:
        return self._take_name()

    async def forget_names(self, idle_seconds: float) -> list[str]:
        group = self._streams.group(self._name, self._group)
        latest = self._streams.monotonic() - idle_seconds
        kept = {pending.consumer for pending in group.pending.values()}
        kept |= {name for name in group.consumers if (self._name, self._group, name) in self._streams.holders}
        forgotten = [name for name, heard_at in group.consumers.items() if name not in kept and heard_at <= latest]
        for name in forgotten:
            del group.consumers[name]
        return forgotten

    async def backlog(self) -> Backlog:
        group, stream = self._streams.group(self._name, self._group), self._streams.get(self._name)
        unread = [number for number in stream.entries if number > group.last]
        oldest = min([number for number in (*group.pending, *unread) if number in stream.entries], default=None)
        age = self._streams.monotonic() - stream.appended_at[oldest] if oldest is not None else 0.0
        return Backlog(len(group.pending), len(unread), age)

    async def trim(self) -> int:
        return self._streams.trim(self._name, self._retention)

    async def unblock(self) -> None:
        self._is_unblocked = True
        self._streams.wake()

    async def close(self) -> None:
        self._is_unblocked = True
        if self._streams.holders.get(self._name_key) is self:
            del self._streams.holders[self._name_key]

    @property
    def _name_key(self) -> tuple[str, str, str]:
        return self._name, self._group, self._consumer

    def _take_name(self) -> bool:
        return self._streams.holders.setdefault(self._name_key, self) is self

    def _kept(self, group: Group, numbers: list[int]) -> list[int]:
        """Drop pending entries that no longer exist."""
        stream = self._streams.get(self._name)
        for number in numbers:
            if number not in stream.entries:
                del group.pending[number]
        return [number for number in numbers if number in stream.entries]

    def _take(self, group: Group, number: int) -> Entry:
        pending = group.pending[number]
        pending.consumer, pending.delivered_at = self._consumer, self._streams.monotonic()
        pending.count += 1
        return self._entry(number, pending.count)

    def _entry(self, number: int, attempt: int) -> Entry:
        body = self._streams.get(self._name).entries[number]
        return Entry(f"{number}-0", body, attempt, "" if body is not None else "{}")
