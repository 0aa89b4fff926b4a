"""Waiting for what other processes do: a question asked again until it has an answer, with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
ASK_AGAIN_SECONDS = 0.2


class NeverHappened(AssertionError):
    """What a test waited for did not happen in time."""


async def eventually(
    ask: Callable[[], Awaitable[T | None]],
    deadline_seconds: float,
    what: str,
    seen: Callable[[], object] = lambda: "nothing",
) -> T:
    """Return the first answer that is not None; NeverHappened says what was seen instead."""
    end = time.monotonic() + deadline_seconds
    while True:
        answer = await ask()
        if answer is not None:
            return answer
        if time.monotonic() >= end:
            raise NeverHappened(f"{what} did not happen within {deadline_seconds:.0f} s; seen: {seen()}")
        await asyncio.sleep(ASK_AGAIN_SECONDS)
