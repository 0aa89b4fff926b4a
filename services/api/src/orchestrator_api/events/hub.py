"""Live run events inside one api process: LISTEN for a hint, poll as well, read new rows once, encode once, wake all.

Needs no Redis. Readers that fall behind what is kept here read the rows themselves (see stream.py).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import sqlalchemy as sa
from asyncpg.exceptions import PostgresError
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator_api.db.engine import Database
from orchestrator_api.db.urls import asyncpg_dsn
from orchestrator_api.errors import DatabaseUnavailable
from shared.contracts.vocabulary import RunEventType
from shared.logging import get_logger
from shared.runtime.waiting import wait_or_timeout

CHANNEL = "outbox"
POLL_SECONDS = 1.0
KEEPALIVE_SECONDS = 15.0
KEPT_FRAMES = 1000
PAGE = 500
log = get_logger(__name__)

_NEW_EVENTS = sa.text("""
    SELECT e.run_id, e.seq, e.type, e.ts, e.payload::text AS payload
    FROM unnest(CAST(:run_ids AS text[]), CAST(:seqs AS bigint[])) AS known(run_id, seq)
    JOIN run_events e ON e.run_id = known.run_id AND e.seq > known.seq
    ORDER BY e.run_id, e.seq
    LIMIT 5000
""")
_PAGE = sa.text("""
    SELECT run_id, seq, type, ts, payload::text AS payload FROM run_events
    WHERE run_id = :run_id AND seq >= :from_seq ORDER BY seq LIMIT :page
""")


class Frame:
    """One event, encoded as Server-Sent Events want it."""

    __slots__ = ("data", "is_last", "seq")

    def __init__(self, seq: int, data: bytes, *, is_last: bool) -> None:
        self.seq = seq
        self.data = data
        self.is_last = is_last


def frame_of(row: sa.RowMapping) -> Frame:
    """Encode a row of run_events: its JSON equals that of RunEventDTO."""
    seq, kind = row["seq"], row["type"]
    head = f'"run_id":"{row["run_id"]}","seq":{seq},"type":"{kind}","ts":"{row["ts"].isoformat()}"'
    text = f'id: {seq}\nevent: {kind}\ndata: {{{head},"payload":{row["payload"]}}}\n\n'
    return Frame(seq, text.encode(), is_last=kind == RunEventType.RUN_FINISHED)


class Topic:
    """The followers of one run: the newest frames and an event that is replaced whenever there is news."""

    def __init__(self) -> None:
        self.followers = 0
        self.last_seq: int | None = None
        self.is_finished = False
        self.changed = asyncio.Event()
        self._frames: deque[Frame] = deque(maxlen=KEPT_FRAMES)

    def start_after(self, seq: int) -> None:
        """Begin to follow after a seq that a reader has already read from the rows."""
        if self.last_seq is None:
            self.last_seq = seq

    def add(self, frame: Frame) -> None:
        if self.last_seq is None or frame.seq <= self.last_seq:
            return
        self._frames.append(frame)
        self.last_seq = frame.seq
        self.is_finished = self.is_finished or frame.is_last

    def frames_from(self, seq: int) -> list[Frame] | None:
        """Return the kept frames from a seq on; None when older ones are wanted than are kept."""
        if self.last_seq is None:
            return None
        if seq > self.last_seq:
            return []
        if not self._frames or self._frames[0].seq > seq:
            return None
        return [self._frames[place] for place in range(seq - self._frames[0].seq, len(self._frames))]

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self.changed.set()
        self.changed = asyncio.Event()


class EventHub:
    """Runs beside the HTTP server; one connection listens, one query per round reads what is new for every topic."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._topics: dict[str, Topic] = {}
        self._dirty: set[str] = set()
        self._work = asyncio.Event()

    @contextmanager
    def follow(self, run_id: str) -> Iterator[Topic]:
        """Follow one run for as long as the block lasts."""
        topic = self._topics.setdefault(run_id, Topic())
        topic.followers += 1
        try:
            yield topic
        finally:
            topic.followers -= 1
            if topic.followers == 0:
                self._topics.pop(run_id, None)

    def mark(self, run_id: str) -> None:
        """Say that a run may have new events."""
        if run_id in self._topics:
            self._dirty.add(run_id)
            self._work.set()

    async def page(self, run_id: str, from_seq: int) -> list[Frame]:
        """Return one page of frames from the rows."""
        async with self._database.read() as connection:
            result = await connection.execute(_PAGE, {"run_id": run_id, "from_seq": from_seq, "page": PAGE})
            return [frame_of(row) for row in result.mappings()]

    async def run(self, stop: asyncio.Event) -> None:
        """Listen, poll, read and keep connections warm until stop; then wake every reader so that it can leave."""
        parts = (self._listen, self._poll, self._read, self._keep_alive)
        tasks = [asyncio.create_task(part(stop)) for part in parts]
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            outcomes = [task.exception() for task in tasks if task.done() and not task.cancelled()]
            for task in (stopping, *tasks):
                task.cancel()
            await asyncio.gather(stopping, *tasks, return_exceptions=True)
            self._wake_all()
        for failure in outcomes:
            if failure is not None:
                raise failure

    async def _listen(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._listen_once()
            except (OSError, TimeoutError, PostgresError) as error:
                log.warning("listening failed, polling goes on", error=str(error))
            await wait_or_timeout(stop, POLL_SECONDS)

    async def _listen_once(self) -> None:
        """Hold one listening connection until it ends."""
        ended = asyncio.Event()
        connection = await asyncpg.connect(asyncpg_dsn(self._database.url), timeout=5)
        try:
            connection.add_termination_listener(lambda _: ended.set())
            await connection.add_listener(CHANNEL, lambda _c, _p, _ch, payload: self.mark(str(payload)))
            self._mark_all()
            await ended.wait()
        finally:
            connection.terminate()

    async def _poll(self, stop: asyncio.Event) -> None:
        while not await wait_or_timeout(stop, POLL_SECONDS):
            self._mark_all()

    async def _keep_alive(self, stop: asyncio.Event) -> None:
        while not await wait_or_timeout(stop, KEEPALIVE_SECONDS):
            self._wake_all()

    async def _read(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._work.wait()
            self._work.clear()
            try:
                async with self._database.read() as connection:
                    await self._read_new(connection)
            except DatabaseUnavailable:
                log.warning("reading events failed, the next poll tries again")

    async def _read_new(self, connection: AsyncConnection) -> None:
        dirty, self._dirty = self._dirty, set()
        known = {run_id: self._topics[run_id].last_seq for run_id in dirty if run_id in self._topics}
        seqs = {run_id: seq for run_id, seq in known.items() if seq is not None}
        if not seqs:
            return
        result = await connection.execute(_NEW_EVENTS, {"run_ids": list(seqs), "seqs": list(seqs.values())})
        news: set[str] = set()
        for row in result.mappings():
            topic = self._topics.get(row["run_id"])
            if topic is not None:
                topic.add(frame_of(row))
                news.add(row["run_id"])
        for run_id in news & self._topics.keys():
            self._topics[run_id].wake()

    def _mark_all(self) -> None:
        self._dirty.update(self._topics)
        if self._dirty:
            self._work.set()

    def _wake_all(self) -> None:
        for topic in self._topics.values():
            topic.wake()
