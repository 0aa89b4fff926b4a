"""Keeps what a running consumer holds: its name, and the entries in its hand, however long their handlers take.

On the way it looks after the group: what is before it is told, names that nobody uses any more go.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic

from shared.contracts.topology import M
from shared.logging import get_logger
from shared.redis.attempts import Item
from shared.redis.errors import BusError
from shared.redis.log import GroupLog
from shared.redis.metrics import GroupCounters
from shared.redis.schedule import Schedule
from shared.redis.subscription import StreamSub

ROUNDS_PER_IDLE = 5
LONGEST_SECONDS = 5.0
SHORTEST_SECONDS = 0.01
SAMPLE_SECONDS = 10.0
FORGETTINGS_PER_TERM = 24  # how often names are looked at within the time after which one is forgotten
FIRST_FORGETTING_SECONDS = 60.0  # also where processes do not live long
NAME_POLL_SECONDS = 0.5
NAME_LOG_SECONDS = 30.0
log = get_logger(__name__)


class Keeper(Generic[M]):
    """Renews in rounds; tells `on_lost` of entries that others own by now.

    `has_name` is false until hold_name() returned and after the name was lost.
    """

    def __init__(
        self,
        group_log: GroupLog,
        sub: StreamSub[M],
        schedule: Schedule[M],
        counters: GroupCounters,
        on_lost: Callable[[list[Item[M]]], None],
    ) -> None:
        self.has_name = False
        self._log = group_log
        self._sub = sub
        self._schedule = schedule
        self._counters = counters
        self._on_lost = on_lost
        self._round_seconds = max(SHORTEST_SECONDS, min(sub.reclaim_idle_ms / 1000 / ROUNDS_PER_IDLE, LONGEST_SECONDS))
        self._closing = asyncio.Event()
        self._next_sample = time.monotonic() + self._round_seconds
        self._next_forgetting = time.monotonic() + min(self._forget_every_seconds, FIRST_FORGETTING_SECONDS)

    async def run(self) -> None:
        """Renew until closed; a server that is away is tried again soon."""
        while not self._closing.is_set():
            await _pause(self._closing, self._round_seconds)
            try:
                await self._round()
            except BusError as error:
                log.debug("not renewed", error=str(error), **self._where())

    def close(self) -> None:
        """Let run() return."""
        self._closing.set()

    @property
    def grace_seconds(self) -> float:
        """How long after a silence of the server every living consumer has renewed what it holds."""
        return 2 * self._round_seconds

    async def hold_name(self, stop: asyncio.Event) -> None:
        """Return with the consumer's name held, or once stop is set; who waits says so."""
        if self.has_name:
            return
        said_at = -NAME_LOG_SECONDS
        try:
            while (holder := await self._log.hold_name()) is not None:
                self._counters.waiting_for_name = 1
                if time.monotonic() - said_at >= NAME_LOG_SECONDS:
                    said_at = time.monotonic()
                    log.error(
                        "another process reads under this consumer's name: nothing is read here until it ends; "
                        "give each replica a name of its own",
                        holder=holder,
                        **self._where(),
                    )
                await _pause(stop, NAME_POLL_SECONDS)
                if stop.is_set():
                    return
        finally:
            self._counters.waiting_for_name = 0
        self.has_name = True

    async def _round(self) -> None:
        if self.has_name and not await self._log.keep_name():
            self._lose_name()
        began = time.monotonic()
        items = {item.id: item for item in self._schedule.in_hand(began - self._round_seconds)}
        lost = await self._log.keep(list(items)) if items else []
        for entry_id, item in items.items():
            if entry_id not in lost:
                item.delivered_at = began
        if lost:
            self._on_lost([items[entry_id] for entry_id in lost])
        await self._sample()
        await self._forget_names()

    def _lose_name(self) -> None:
        """Somebody else was handed everything that is pending under this name."""
        self.has_name = False
        log.error("another process took this consumer's name over: what is in hand is left to it", **self._where())
        self._on_lost(list(self._schedule.held.values()))

    async def _sample(self) -> None:
        if time.monotonic() < self._next_sample:
            return
        self._next_sample = time.monotonic() + SAMPLE_SECONDS
        self._counters.backlogs[self._sub.stream.name] = await self._log.backlog()

    async def _forget_names(self) -> None:
        if time.monotonic() < self._next_forgetting:
            return
        self._next_forgetting = time.monotonic() + self._forget_every_seconds
        if forgotten := await self._log.forget_names(self._sub.forget_seconds):
            log.info("forgot consumers that are gone", names=forgotten, **self._where())

    @property
    def _forget_every_seconds(self) -> float:
        return self._sub.forget_seconds / FORGETTINGS_PER_TERM

    def _where(self) -> dict[str, str]:
        return {"stream": self._sub.stream.name, "group": self._sub.group, "consumer": self._sub.consumer}


async def _pause(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
