"""Publishes the outbox: in order per run, one pipelined batch, marked after Redis answered.

A crash in between publishes a batch twice, never drops one; readers know repeats by (run_id, seq).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

from asyncpg.exceptions import InterfaceError, PostgresError
from pydantic import ValidationError

from orchestrator_api.relay.instructions import Instructions
from orchestrator_api.relay.outbox import CHANNEL, Outbox, OutboxRow
from orchestrator_api.relay.progress import progress_of
from shared.contracts.base import QueueMeta
from shared.contracts.queues.events import RunEvent
from shared.contracts.topology import RUN_EVENTS, TASK_PROGRESS, TOPOLOGY, Stream
from shared.contracts.vocabulary import RunEventType
from shared.logging import get_logger
from shared.redis.bus import Bus
from shared.redis.errors import BusError
from shared.runtime.errors import Category, PlatformError
from shared.runtime.waiting import wait_or_timeout

FINISHED_PROGRESS_SECONDS = 86_400.0
SWEEP_ROUNDS = 3600
FEW = 16
log = get_logger(__name__)
_STREAMS: dict[str, Stream[Any]] = {stream.name: stream for stream in TOPOLOGY}
_ADAPTERS = {name: stream.adapter for name, stream in _STREAMS.items()}


class OutboxUnavailable(PlatformError):
    """The database does not answer; nothing was lost, the rows wait."""

    code = "outbox_unavailable"
    category = Category.UPSTREAM


class Batch:
    """Messages grouped by stream, in the order of their rows."""

    def __init__(self) -> None:
        self.messages: dict[str, tuple[Stream[Any], list[QueueMeta]]] = {}
        self.finished: list[Stream[Any]] = []

    def add(self, stream: Stream[Any], message: QueueMeta) -> None:
        self.messages.setdefault(stream.name, (stream, []))[1].append(message)

    def add_row(self, row: OutboxRow) -> None:
        """Add a row's message and what is derived from it; ValidationError or KeyError when it cannot be read."""
        message = _ADAPTERS[row.stream].validate_json(row.body, extra="ignore")
        self.add(_STREAMS[row.stream], message)
        if row.stream != RUN_EVENTS.name or not isinstance(message, RunEvent):
            return
        progress = progress_of(message)
        if progress is None:
            return
        stream = TASK_PROGRESS.at(message.task_id)
        self.add(stream, progress)
        if message.type is RunEventType.RUN_FINISHED:
            self.finished.append(stream)

    async def publish(self, bus: Bus) -> None:
        """Send everything: run events in one pipeline, the many small streams merged into another by the bus."""
        calls: list[Awaitable[object]] = []
        for stream, messages in self.messages.values():
            if len(messages) > FEW:
                calls.append(bus.publish_many(stream, messages))
            else:
                calls.extend(bus.publish(stream, message) for message in messages)
        calls.extend(bus.expire(stream, FINISHED_PROGRESS_SECONDS) for stream in self.finished)
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome


class Relay:
    """The leader drains whenever it is notified and each `poll_seconds`; a standby waits for the leader's lock."""

    def __init__(self, database_url: str, bus: Bus, *, batch: int = 1000, poll_seconds: float = 1.0) -> None:
        self._url = database_url
        self._bus = bus
        self._instructions = Instructions(bus)
        self._batch = batch
        self._poll_seconds = poll_seconds
        self._outbox: Outbox | None = None
        self._busy = asyncio.Lock()
        self._hint = asyncio.Event()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.is_leader = False

    async def start(self) -> None:
        """Run in the background until stop()."""
        self._stop.clear()
        self._task = asyncio.create_task(self.run(self._stop))

    async def stop(self) -> None:
        """End the background task after the batch in hand."""
        self._stop.set()
        if self._task is not None:
            await self._task
            self._task = None
        await self.close()

    async def close(self) -> None:
        """Close the connection; a leader thereby steps down."""
        self.is_leader = False
        if self._outbox is not None:
            await self._outbox.close()
            self._outbox = None

    async def drain_once(self) -> int:
        """Publish everything that waits now and return how many rows that were."""
        return await self._drain(None)

    async def drain_run(self, run_id: str) -> int:
        """Publish everything that waits now for one run and return how many rows that were."""
        return await self._drain(run_id)

    async def ping(self) -> None:
        """Raise OutboxUnavailable unless the database answers."""
        async with self._busy:
            try:
                outbox = await self._connected()
                await outbox.connection.execute("SELECT 1")
            except (OSError, TimeoutError, PostgresError, InterfaceError) as error:
                await self.close()
                raise OutboxUnavailable from error

    async def run(self, stop: asyncio.Event) -> None:
        """Lead or stand by until stop; outages of either side are waited out."""
        rounds = 0
        while not stop.is_set():
            rounds += 1
            try:
                await self._round(is_sweep=rounds % SWEEP_ROUNDS == 0)
            except OutboxUnavailable as error:
                log.warning("the relay waits", reason=error.code, error=str(error.__cause__))
                await wait_or_timeout(stop, self._poll_seconds)
            except BusError as error:
                log.warning("the relay waits", reason=error.code, error=str(error))
                await wait_or_timeout(stop, self._poll_seconds)
            else:
                await self._next_hint(stop)
        await self.close()

    async def _round(self, *, is_sweep: bool) -> None:
        if not self.is_leader and not await self._try_lead():
            return
        self._hint.clear()
        await self._drain(None)
        if is_sweep and self._outbox is not None:
            async with self._busy:
                await self._outbox.forget_published()

    async def _next_hint(self, stop: asyncio.Event) -> None:
        """Wait for a notification, the poll or stop, whichever comes first."""
        waits = [asyncio.create_task(self._hint.wait()), asyncio.create_task(stop.wait())]
        try:
            await asyncio.wait(waits, timeout=self._poll_seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _try_lead(self) -> bool:
        async with self._busy:
            try:
                outbox = await self._connected()
                if not await outbox.try_lead():
                    return False
                await outbox.connection.add_listener(CHANNEL, lambda *_: self._hint.set())
            except (OSError, TimeoutError, PostgresError, InterfaceError) as error:
                await self.close()
                raise OutboxUnavailable from error
            self.is_leader = True
        log.info("leading")
        return True

    async def _drain(self, run_id: str | None) -> int:
        """Publish messages until none is left, a few instructions in between: neither waits for all of the other."""
        total = 0
        while True:
            count = await self._drain_batch(run_id)
            total += count
            if count == self._batch:
                continue
            done = await self._carry_out_some() if run_id is None else 0
            total += done
            if done < FEW:
                return total

    async def _drain_batch(self, run_id: str | None) -> int:
        async with self._busy:
            try:
                outbox = await self._connected()
                async with outbox.draining():
                    rows = await outbox.unpublished(self._batch, run_id)
                    if rows:
                        await self._publish(outbox, rows)
                        await outbox.mark(rows)
            except (OSError, TimeoutError, PostgresError, InterfaceError) as error:
                await self.close()
                raise OutboxUnavailable from error
        return len(rows)

    async def _carry_out_some(self) -> int:
        async with self._busy:
            try:
                outbox = await self._connected()
                rows = await outbox.instructions(FEW)
                for row in rows:
                    await self._instructions.carry_out(outbox, row)
            except (OSError, TimeoutError, PostgresError, InterfaceError) as error:
                await self.close()
                raise OutboxUnavailable from error
        return len(rows)

    async def _publish(self, outbox: Outbox, rows: Sequence[OutboxRow]) -> None:
        batch = Batch()
        for row in rows:
            try:
                batch.add_row(row)
            except (ValidationError, KeyError) as error:
                await outbox.bury(row, error)
        await batch.publish(self._bus)

    async def _connected(self) -> Outbox:
        if self._outbox is None or self._outbox.connection.is_closed():
            self.is_leader = False
            self._outbox = await Outbox.connect(self._url)
        return self._outbox
