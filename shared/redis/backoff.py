"""Waiting for a server that is away: short pauses that grow, with jitter."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.redis.errors import BusFull, BusUnavailable

FIRST_SECONDS = 0.05
LONGEST_SECONDS = 2.0
T = TypeVar("T")


def honour_cancellation() -> None:
    """Raise the CancelledError that was swallowed below.

    asyncio.wait_for in Python 3.11, which redis-py uses to send, loses a cancellation that comes as it finishes.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class Backoff:
    """One series of pauses; reset() after a success."""

    def __init__(self) -> None:
        self._next = FIRST_SECONDS

    def reset(self) -> None:
        """Begin again with the shortest pause."""
        self._next = FIRST_SECONDS

    async def pause(self, stop: asyncio.Event | None = None) -> None:
        """Wait the next pause, or less when stop is set meanwhile."""
        seconds = self._next * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load only
        self._next = min(self._next * 2, LONGEST_SECONDS)
        if stop is None:
            await asyncio.sleep(seconds)
            return
        waiter = asyncio.ensure_future(stop.wait())
        await asyncio.wait({waiter}, timeout=seconds)
        waiter.cancel()

    async def until_answered(self, action: Callable[[], Awaitable[T]]) -> T:
        """Repeat an action until the server answers it."""
        while True:
            honour_cancellation()
            try:
                return await action()
            except (BusUnavailable, BusFull):
                await self.pause()
