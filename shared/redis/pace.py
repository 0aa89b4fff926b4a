"""Holds deliveries back to a number per second, evenly spaced."""

from __future__ import annotations

import asyncio
import time


class Pace:
    """One slot every 1/rate seconds; unused slots are not saved up."""

    def __init__(self, per_second: float) -> None:
        self._gap = 1.0 / per_second
        self._next = 0.0

    async def wait(self) -> None:
        """Return when this caller's slot has come."""
        now = time.monotonic()
        slot = max(now, self._next)
        self._next = slot + self._gap
        if slot > now:
            await asyncio.sleep(slot - now)
