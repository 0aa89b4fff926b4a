"""Acknowledges finished entries in batches: what finishes while one batch is on its way makes the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from shared.logging import get_logger
from shared.redis.backoff import Backoff, honour_cancellation
from shared.redis.errors import BusError, BusUnavailable
from shared.redis.log import GroupLog

MIN_TRIM_STEP = 64
LAST_SECONDS = 1.0
log = get_logger(__name__)


class Acknowledger:
    """Tells who asked what was acknowledged; trims the stream once per half a retention of acknowledged entries."""

    def __init__(self, group_log: GroupLog, retention: int, on_acknowledged: Callable[[list[str]], None]) -> None:
        self._log = group_log
        self._on_acknowledged = on_acknowledged
        self._trim_step = max(retention // 2, MIN_TRIM_STEP)
        self._since_trim = 0
        self._done: list[str] = []
        self._sending: list[str] = []
        self._wake = asyncio.Event()
        self._is_awake = False
        self._is_closing = False

    def add(self, entry_id: str) -> None:
        """Take an entry whose effect is committed."""
        self._done.append(entry_id)
        if not self._is_awake:
            self._is_awake = True
            self._wake.set()

    def close(self) -> None:
        """Let run() return once everything is acknowledged."""
        self._is_closing = True
        self._wake.set()

    async def run(self) -> None:
        """Acknowledge until closed; a server that is away is waited for."""
        while True:
            honour_cancellation()
            if not self._done:
                if self._is_closing:
                    return
                self._is_awake = False
                self._wake.clear()
                await self._wake.wait()
                continue
            batch, self._done = self._done, []
            self._sending = batch
            await Backoff().until_answered(partial(self._log.ack, batch))
            self._sending = []
            self._on_acknowledged(batch)
            await self._trim(len(batch))

    async def last(self) -> None:
        """Try once more to acknowledge what is left; what fails is delivered again."""
        left = self._sending + self._done
        if not left:
            return
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await self._log.ack(left)
        except (BusError, TimeoutError) as error:
            log.warning("not acknowledged", number=len(left), error=str(error))

    async def _trim(self, number: int) -> None:
        self._since_trim += number
        if self._since_trim < self._trim_step:
            return
        self._since_trim = 0
        try:
            await self._log.trim()
        except BusUnavailable:
            self._since_trim = self._trim_step
        except BusError as error:
            log.debug("not trimmed", error=str(error))
