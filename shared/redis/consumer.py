"""Runs one subscription: reads in batches, handles on lanes, retries late, buries the dead, acknowledges in batches."""

from __future__ import annotations

import asyncio
import time
from typing import Generic

from shared.contracts.topology import M
from shared.logging import get_logger
from shared.redis.acknowledger import Acknowledger
from shared.redis.attempts import Attempts, Dead, Item, Retry
from shared.redis.backoff import Backoff, honour_cancellation
from shared.redis.codec import Decoder
from shared.redis.errors import BusError, BusFull, BusUnavailable, GroupMissing
from shared.redis.keeper import Keeper
from shared.redis.log import FIRST, Entry, GroupLog
from shared.redis.metrics import GroupCounters
from shared.redis.retry import RetryPolicy
from shared.redis.schedule import Schedule
from shared.redis.subscription import StreamSub

MAX_SWEEP_SECONDS = 30.0
UNBLOCK_SECONDS = 0.05
SWEEP_BATCHES = 4
log = get_logger(__name__)


class Consumer(Generic[M]):
    """One subscription while it runs; made anew for each consume() or drain_once()."""

    def __init__(
        self, group_log: GroupLog, sub: StreamSub[M], decoder: Decoder[M], retry: RetryPolicy, counters: GroupCounters
    ) -> None:
        self._log = group_log
        self._sub = sub
        self._counters = counters
        self._attempts = Attempts(group_log, sub, decoder, retry, counters)
        self._acks = Acknowledger(group_log, sub.stream.retention, self._forget)
        self._schedule: Schedule[M] = Schedule(sub)
        self._keeper: Keeper[M] = Keeper(group_log, sub, self._schedule, counters, self._lose)
        self._lanes: list[asyncio.Task[None]] = []
        self._running: list[Item[M] | None] = [None] * sub.concurrency
        self._sweep_seconds = min(sub.reclaim_idle_ms / 2000, MAX_SWEEP_SECONDS)
        self._next_sweep = time.monotonic() + self._sweep_seconds
        self._sweep_cursor = FIRST
        self._has_seen_idle = False

    async def run(self, stop: asyncio.Event) -> None:
        """Handle messages until stop is set and everything already read is done; raise a handler's fatal error."""
        try:
            async with asyncio.TaskGroup() as group:
                self._lanes = [group.create_task(self._lane(number)) for number in range(self._sub.concurrency)]
                group.create_task(self._acks.run())
                group.create_task(self._keeper.run())
                reader = group.create_task(self._read(stop))
                group.create_task(self._end_read(stop, reader))
                await reader
                await self._schedule.drained()
                self._schedule.close()
                self._acks.close()
                self._keeper.close()
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            self._schedule.close()
            self._counters.in_flight -= self._schedule.abandon()
            await self._acks.last()
            await self._log.close()

    async def drain(self) -> int:
        """Deliver everything readable now once, in order; return how many deliveries were made."""
        await self._log.ensure()
        count = 0
        left = {entry.id: entry for entry in (*await self._all_own(), *await self._some_idle())}  # own may be idle too
        entries = list(left.values()) or await self._log.read_new(self._sub.batch, None)
        while entries:
            for entry in entries:
                count += 1
                await self._deliver_once(entry)
            entries = await self._log.read_new(self._sub.batch, None)
        return count

    async def _deliver_once(self, entry: Entry) -> None:
        now = time.monotonic()
        item = self._attempts.admit(entry, now)
        outcome = await self._attempts.run(item, now)
        if isinstance(outcome, Retry):
            return
        if isinstance(outcome, Dead):
            await self._attempts.bury(item, self._attempts.letter(item, outcome))
        await self._log.ack([item.id])

    async def _lane(self, number: int) -> None:
        schedule, run, running, finished = self._schedule, self._attempts.run, self._running, self._acks.add
        clock, stale_seconds = time.monotonic, self._sub.reclaim_idle_ms / 2000
        while await schedule.more():
            try:
                while (item := schedule.take()) is not None:
                    running[number] = item
                    try:
                        if (now := clock()) - item.delivered_at > stale_seconds or item.is_claim_due:
                            await self._try_again(item)
                        elif (outcome := await run(item, now)) is not None:
                            await self._settle(item, outcome)
                        else:
                            finished(item.id)
                            if item.key is not None:
                                schedule.release(item)
                    except asyncio.CancelledError:
                        if not item.is_lost or self._lanes[number].uncancel():
                            raise
                        self._hand_back(item)
            finally:
                running[number] = None
                schedule.leave()
            honour_cancellation()

    async def _try_again(self, item: Item[M]) -> None:
        """Deliver a retry once it is claimed; hand back what another consumer has or may have by now."""
        if item.is_lost or not item.is_claim_due or not await Backoff().until_answered(lambda: self._claim(item)):
            return self._hand_back(item)
        return await self._settle(item, await self._attempts.run(item, time.monotonic()))

    async def _settle(self, item: Item[M], outcome: Retry | Dead | None) -> None:
        if isinstance(outcome, Retry):
            item.is_claim_due = True
            self._schedule.later(item, outcome.delay_seconds)
            return
        if isinstance(outcome, Dead):
            letter = self._attempts.letter(item, outcome)
            await Backoff().until_answered(lambda: self._attempts.bury(item, letter))
        self._acks.add(item.id)
        self._schedule.release(item)

    async def _claim(self, item: Item[M]) -> bool:
        """Take the entry for another delivery unless somebody else took it while it waited."""
        is_ours = await self._log.claim(item.id)
        item.delivered_at = time.monotonic()
        item.attempt += 1
        return is_ours

    def _hand_back(self, item: Item[M]) -> None:
        """Leave an entry pending for the next sweep of any consumer: it waited so long that one may have it already."""
        self._forget([item.id])
        self._schedule.release(item)

    def _lose(self, items: list[Item[M]]) -> None:
        """Others have these entries by now: end their handlers; what has not begun never does.

        An item that is neither running nor parked is finished here or waits for a lane: nothing happened to it.
        """
        for item in items:
            item.is_lost = item.is_claim_due = True
            is_running = item in self._running
            if is_running or self._schedule.is_parked(item):
                log.error("entry taken over by another consumer", entry=item.id, stream=self._sub.stream.name)
            if is_running:
                self._lanes[self._running.index(item)].cancel()

    def _forget(self, ids: list[str]) -> None:
        self._counters.in_flight -= len(ids)
        self._schedule.forget(ids)

    async def _read(self, stop: asyncio.Event) -> None:
        backoff = Backoff()
        is_fresh = True
        while not stop.is_set():
            honour_cancellation()
            try:
                if not self._keeper.has_name:
                    await self._keeper.hold_name(stop)
                    is_fresh = True
                    continue
                if is_fresh:
                    await self._log.ensure()
                    self._admit(await self._all_own())
                    is_fresh = False
                await self._read_batch(stop)
                backoff.reset()
            except GroupMissing:
                log.warning("group recreated", stream=self._sub.stream.name, group=self._sub.group)
                is_fresh = True
                await backoff.pause(stop)
            except (BusUnavailable, BusFull) as error:
                log.warning("bus unavailable", stream=self._sub.stream.name, error=str(error))
                is_fresh, self._has_seen_idle = True, False
                self._next_sweep = time.monotonic() + self._sweep_seconds
                await backoff.pause(stop)

    async def _read_batch(self, stop: asyncio.Event) -> None:
        if time.monotonic() >= self._next_sweep:
            await self._sweep()
        count = await self._schedule.room(self._counters)
        if stop.is_set():
            return
        until_sweep_ms = int((self._next_sweep - time.monotonic()) * 1000)
        self._admit(await self._log.read_new(count, max(1, min(self._sub.block_ms, until_sweep_ms))))

    async def _sweep(self) -> None:
        """Take over what is idle at a second look.

        At the first one after a silence of the server, what living consumers hold looks idle as well.
        """
        if self._has_seen_idle:
            self._admit(await self._some_idle())
            self._has_seen_idle = self._sweep_cursor != FIRST
            if not self._has_seen_idle:
                self._next_sweep = time.monotonic() + self._sweep_seconds
        else:
            self._has_seen_idle = await self._log.has_idle(self._sub.reclaim_idle_ms)
            pause = self._keeper.grace_seconds if self._has_seen_idle else self._sweep_seconds
            self._next_sweep = time.monotonic() + pause

    def _admit(self, entries: list[Entry]) -> None:
        """Queue what is not in hand already; what is in hand was merely seen again."""
        schedule, admit, held, now = self._schedule, self._attempts.admit, self._schedule.held, time.monotonic()
        before = len(held)
        for entry in entries:
            if (again := held.get(entry.id)) is not None:
                again.delivered_at = now
            else:
                schedule.add(admit(entry, now))
        self._counters.in_flight += len(held) - before
        schedule.wake()

    async def _all_own(self) -> list[Entry]:
        found: list[Entry] = []
        after = FIRST
        while page := await self._log.read_own(after, self._sub.batch):
            found += page
            after = page[-1].id
        return found

    async def _some_idle(self) -> list[Entry]:
        """Follow the sweep's cursor past empty pages to its end or to a few batches; the next call goes on there."""
        found: list[Entry] = []
        while len(found) < SWEEP_BATCHES * self._sub.batch:
            sweep = await self._log.sweep(self._sub.reclaim_idle_ms, self._sweep_cursor, self._sub.batch)
            found += sweep.entries
            self._sweep_cursor = sweep.cursor
            if sweep.has_lost:
                await self._log.read_own(FIRST, self._sub.batch)
            if self._sweep_cursor == FIRST:
                break
        return found

    async def _end_read(self, stop: asyncio.Event, reader: asyncio.Task[None]) -> None:
        """Let a waiting read return, when asked to stop and when something else in here has failed."""
        try:
            await stop.wait()
        finally:
            self._schedule.open_room()
            while not reader.done():
                try:
                    await self._log.unblock()
                except BusError as error:
                    log.debug("read not unblocked", stream=self._sub.stream.name, error=str(error))
                await asyncio.wait({reader}, timeout=UNBLOCK_SECONDS)
