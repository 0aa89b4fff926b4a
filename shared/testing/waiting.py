"""Waiting in tests: for a condition, with a deadline, never for a guessed time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from shared.redis.bus import Bus
from shared.redis.subscription import StreamSub

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, LONGER = 0.005, 0.05, 1.5


async def eventually(condition: Callable[[], bool | Awaitable[bool]], deadline_seconds: float = 30.0) -> None:
    """Return once the condition holds, asked for ever less often; AssertionError after the deadline."""
    deadline = time.monotonic() + deadline_seconds
    pause = FIRST_PAUSE_SECONDS
    while True:
        answer = condition()
        holds = await answer if inspect.isawaitable(answer) else answer
        if holds:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {deadline_seconds} s: {inspect.getsource(condition).strip()}")
        await asyncio.sleep(pause)
        pause = min(pause * LONGER, LONGEST_PAUSE_SECONDS)


@asynccontextmanager
async def consuming(bus: Bus, sub: StreamSub[Any]) -> AsyncIterator[None]:
    """Consume while the block runs, then drain."""
    stop = asyncio.Event()
    task = asyncio.create_task(bus.consume(sub, stop))
    try:
        yield
    finally:
        stop.set()
        await task
