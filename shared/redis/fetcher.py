"""Hands entries to a caller that acknowledges them itself: own pending ones first, then new ones, with sweeps."""

from __future__ import annotations

import asyncio
import time
from typing import Generic

from shared.contracts.topology import M
from shared.logging import get_logger
from shared.redis.attempts import Attempts, Item
from shared.redis.errors import BusDenied, BusUnavailable, GroupMissing
from shared.redis.log import FIRST, Entry, GroupLog
from shared.redis.subscription import Received

MANAGER_PAUSE_SECONDS = 0.5
log = get_logger(__name__)


class Fetcher(Generic[M]):
    """The state between two fetches of one consumer: what it holds, and whether its own entries were read."""

    def __init__(self, group_log: GroupLog, attempts: Attempts[M]) -> None:
        self.held: set[str] = set()
        self._log = group_log
        self._attempts = attempts
        self._own_after: str | None = FIRST
        self._next_sweep = 0.0

    async def fetch(self, count: int, block_ms: int | None, reclaim_idle_ms: int | None) -> list[Received[M]]:
        """Return up to `count` messages; BusUnavailable when the server does not answer."""
        try:
            return await self._fetch(count, block_ms, reclaim_idle_ms)
        except GroupMissing:
            await self._restore_group()
            return []
        except BusUnavailable:
            self._own_after = FIRST
            raise

    async def close(self) -> None:
        """Close the reader's connection; what is held stays pending."""
        await self._log.close()

    async def _fetch(self, count: int, block_ms: int | None, reclaim_idle_ms: int | None) -> list[Received[M]]:
        while self._own_after is not None:
            page = await self._log.read_own(self._own_after, count)
            self._own_after = page[-1].id if page else None
            if received := await self._receive(page):
                return received
        if reclaim_idle_ms is not None and time.monotonic() >= self._next_sweep:
            if received := await self._receive(await self._idle(reclaim_idle_ms, count)):
                return received
            self._next_sweep = time.monotonic() + reclaim_idle_ms / 2000
        return await self._receive(await self._log.read_new(count, block_ms))

    async def _idle(self, min_idle_ms: int, count: int) -> list[Entry]:
        cursor = FIRST
        while True:
            sweep = await self._log.sweep(min_idle_ms, cursor, count)
            cursor = sweep.cursor
            if sweep.entries or cursor == FIRST:
                return sweep.entries

    async def _receive(self, page: list[Entry]) -> list[Received[M]]:
        received: list[Received[M]] = []
        now = time.monotonic()
        for entry in page:
            if entry.id in self.held:
                continue
            item = self._attempts.admit(entry, now)
            if item.message is None or item.unreadable is not None:
                await self._bury(item)
                continue
            self.held.add(item.id)
            received.append(Received(item.id, item.message, item.attempt))
        return received

    async def _bury(self, item: Item[M]) -> None:
        """Dead letter first, acknowledge second; without the right to bury, the entry stays pending."""
        if item.unreadable is None:
            return
        try:
            await self._log.bury(self._attempts.letter(item, item.unreadable))
        except BusDenied:
            self.held.add(item.id)
            return
        await self._log.ack([item.id])

    async def _restore_group(self) -> None:
        """Create the group again; without the right to, wait a moment for whoever has it."""
        self._own_after = FIRST
        try:
            await self._log.ensure()
        except BusDenied:
            log.info("group is missing, waiting for it to be created")
            await asyncio.sleep(MANAGER_PAUSE_SECONDS)
