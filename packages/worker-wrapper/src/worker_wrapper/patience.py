"""How long a worker lives without Redis: it tries again with growing pauses, up to a limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.logging import get_logger
from shared.redis.errors import BusDenied, BusFull, BusUnavailable
from worker_wrapper.errors import Interrupted, RedisLost

T = TypeVar("T")
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
_AWAY = (BusUnavailable, BusFull, RedisConnectionError, RedisTimeoutError)

logger = get_logger(__name__)


class Patience:
    """Repeats what failed because Redis is away."""

    def __init__(self, limit_seconds: float, stop: asyncio.Event) -> None:
        self._limit_seconds = limit_seconds
        self._stop = stop

    async def keep_trying(self, action: Callable[[], Awaitable[T]]) -> T:
        """Return the action's result. RedisLost past the limit, Interrupted when told to stop meanwhile."""
        began = time.monotonic()
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return await action()
            except (*_AWAY, BusDenied) as error:
                if isinstance(error, BusDenied) and not isinstance(error.__cause__, AuthenticationError):
                    raise
                # A Redis that lost its users gets this worker's again from the manager.
                away_seconds = time.monotonic() - began
                if away_seconds + pause > self._limit_seconds:
                    raise RedisLost(f"Redis stayed away for {away_seconds:.0f} s: {error}") from error
                logger.warning("redis_away", error=str(error), away_seconds=round(away_seconds, 1))
            await self.pause(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of a wait that is given up, with Interrupted, as soon as the worker is told to stop."""
        waiting = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
            raise Interrupted
        finally:
            stopping.cancel()
            if not waiting.done():
                waiting.cancel()
                await asyncio.wait({waiting})

    async def pause(self, seconds: float) -> None:
        """Wait; Interrupted when told to stop."""
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return
        raise Interrupted
