"""Who is handled next: the queue of a consumer, its delayed retries, its ordered keys, and how much may be read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Generic

from shared.contracts.topology import M
from shared.redis.attempts import Item
from shared.redis.metrics import GroupCounters
from shared.redis.subscription import StreamSub

READ_AHEAD_SECONDS = 1.0
MAX_HELD = 2048


class Schedule(Generic[M]):
    """Lanes wait for more(), take() and leave(); items are added, released, forgotten, or come back later.

    At most about a second of work is read ahead, measured from the handler's own speed: what waits here grows idle
    and could be taken over by another consumer.
    """

    def __init__(self, sub: StreamSub[M]) -> None:
        self.held: dict[str, Item[M]] = {}
        self._sub = sub
        self._queue: deque[Item[M]] = deque()
        self._behind: dict[str, deque[Item[M]]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._idle_lanes: list[asyncio.Future[None]] = []
        self._running = 0
        self._is_waking = False
        self._is_closed = False
        self._is_room_open = False
        self._low_water = 0
        self._room = asyncio.Event()
        self._drained = asyncio.Event()

    def add(self, item: Item[M]) -> None:
        """Queue an item, behind the one of its key that is in hand; call wake() after the last."""
        self.held[item.id] = item
        if item.key is not None:
            if (behind := self._behind.get(item.key)) is not None:
                behind.append(item)
                return
            self._behind[item.key] = deque()
        self._queue.append(item)

    def wake(self) -> None:
        """Start one idle lane when there is an item; it wakes the next when it takes one, so no lane starts in vain."""
        while self._queue and self._idle_lanes and not self._is_waking:
            lane = self._idle_lanes.pop()
            if not lane.done():
                self._is_waking = True
                lane.set_result(None)

    async def more(self) -> bool:
        """Let a lane wait for items and begin its run of take() until leave(); False when the schedule was closed."""
        if not self._queue:
            if self._is_closed:
                return False
            lane = asyncio.get_running_loop().create_future()
            self._idle_lanes.append(lane)
            await lane
            self._is_waking = False
        self._running += 1
        return True

    def take(self) -> Item[M] | None:
        """Return the next item, or None when there is none now."""
        queue = self._queue
        if not queue:
            return None
        item = queue.popleft()
        if len(queue) <= self._low_water:
            self._room.set()
        if self._idle_lanes and not self._is_waking:
            self.wake()
        return item

    def leave(self) -> None:
        """End what more() began: this lane has found nothing more to do."""
        self._running -= 1
        self._room.set()
        if not self._queue and not self._running:
            self._drained.set()

    def release(self, item: Item[M]) -> None:
        """Let the next item of this one's key follow."""
        if item.key is None:
            return
        behind = self._behind[item.key]
        if behind:
            self._queue.append(behind.popleft())
            self.wake()
        else:
            del self._behind[item.key]

    def forget(self, ids: Iterable[str]) -> None:
        """Let go of items: a later sight of them is a new delivery."""
        for entry_id in ids:
            self.held.pop(entry_id, None)
        self._room.set()

    def later(self, item: Item[M], delay_seconds: float) -> None:
        """Queue an item again after a pause; its key stays taken, its neighbours go on."""
        loop = asyncio.get_running_loop()
        self._timers[item.id] = loop.call_later(delay_seconds, self._return, item)

    def _return(self, item: Item[M]) -> None:
        self._timers.pop(item.id, None)
        self._queue.append(item)
        self.wake()

    def in_hand(self, before: float) -> list[Item[M]]:
        """Return what was delivered before a moment and does more than wait for a lane.

        What merely waits may grow idle: a consumer with a free lane should have it.
        """
        waiting = {item.id for item in self._queue}
        return [item for item in self.held.values() if item.delivered_at <= before and item.id not in waiting]

    def is_parked(self, item: Item[M]) -> bool:
        """Tell whether an item waits for its retry or behind another one of its key."""
        return item.id in self._timers or (item.key is not None and item in self._behind.get(item.key, ()))

    async def room(self, counters: GroupCounters) -> int:
        """Wait until more may be read and return how much."""
        while True:
            limit = self._limit(counters)
            free = limit - len(self._queue) - self._running
            is_worth_it = not self._queue or free * 2 >= limit
            if self._is_room_open or (free > 0 and is_worth_it and len(self.held) < MAX_HELD):
                return max(1, free)
            self._low_water = max(0, limit // 2 - self._running)
            self._room.clear()
            await self._room.wait()

    def open_room(self) -> None:
        """Let a waiting room() look again, and make it return from now on."""
        self._is_room_open = True
        self._room.set()

    async def drained(self) -> None:
        """Wait until nothing is queued or running; delayed retries stay pending."""
        while self._queue or self._running:
            self._drained.clear()
            await self._drained.wait()

    def close(self) -> None:
        """Let every lane end after its item."""
        self._is_closed = True
        for lane in self._idle_lanes:
            if not lane.done():
                lane.set_result(None)
        self._idle_lanes.clear()

    def abandon(self) -> int:
        """Cancel the delayed retries and return how many items are left pending."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        left = len(self.held)
        self.held.clear()
        return left

    def _limit(self, counters: GroupCounters) -> int:
        """Return how many items may be queued or running."""
        sub = self._sub
        if counters.handled == 0:
            return min(sub.batch, max(sub.concurrency, 1))
        mean_seconds = counters.handler_seconds / counters.handled
        ahead = READ_AHEAD_SECONDS * sub.concurrency / mean_seconds if mean_seconds > 0 else sub.batch
        if sub.max_per_second is not None:
            ahead = min(ahead, READ_AHEAD_SECONDS * sub.max_per_second)
        return min(sub.batch, max(int(ahead), sub.concurrency, 1))
