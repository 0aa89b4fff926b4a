"""`concurrency:` of workflows: one run of a group at a time, at most one waiting, the newest."""

import asyncio
from collections.abc import Callable
from contextlib import suppress


class Turns:
    """Hands out turns per group; run ids wait in the order of their coming."""

    def __init__(self, cancel: Callable[[int], None]) -> None:
        self._cancel = cancel
        self._running: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._freed: dict[str, asyncio.Event] = {}

    async def take(self, group: str, run_id: int, cancelled: asyncio.Event, *, cancel_in_progress: bool) -> bool:
        """Wait for the turn of a run; False when it was cancelled, by a newer one or by hand, before its turn."""
        if group in self._waiting:
            self._cancel(self._waiting[group])
        self._waiting[group] = run_id
        if cancel_in_progress and group in self._running:
            self._cancel(self._running[group])
        try:
            while group in self._running and not cancelled.is_set():
                freed = self._freed.setdefault(group, asyncio.Event())
                await first_of(freed, cancelled)
        finally:
            if self._waiting.get(group) == run_id:
                del self._waiting[group]
        if cancelled.is_set():
            return False
        self._running[group] = run_id
        return True

    def give_back(self, group: str) -> None:
        """End the turn of the run that has it."""
        del self._running[group]
        freed = self._freed.pop(group, None)
        if freed is not None:
            freed.set()


async def first_of(*events: asyncio.Event) -> None:
    """Wait until one of the events is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        for wait in waits:
            with suppress(asyncio.CancelledError):
                await wait
