"""Time and identifiers that a test controls."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta


class FakeClock:
    """Stands still until advanced; sleepers wake when their time has come."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._monotonic = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Wait until advance() has passed so many seconds; zero only yields."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiter = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._monotonic + seconds, waiter))
        await waiter

    def advance(self, seconds: float) -> None:
        """Move on and wake whoever is due; the woken run when the caller awaits."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
        due = [waiter for at, waiter in self._sleepers if at <= self._monotonic]
        self._sleepers = [(at, waiter) for at, waiter in self._sleepers if at > self._monotonic]
        for waiter in due:
            if not waiter.done():
                waiter.set_result(None)


class SequenceIds:
    """Identifiers `{prefix}1`, `{prefix}2`, …"""

    def __init__(self, prefix: str = "id-") -> None:
        self._prefix = prefix
        self._count = 0

    def new(self) -> str:
        self._count += 1
        return f"{self._prefix}{self._count}"
