"""Kills services at moments that the work itself announces: a node that began, an entry that was appended.

Nodes are heard from the database's own notifications, so that killing the api does not blind the watcher.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from local_stack.testing.bench import Bench
from shared.contracts.topology import Stream
from shared.contracts.vocabulary import RunEventType

CHANNEL = "outbox"
READ_MS = 500
_NEW_NODES = """
    SELECT e.seq, r.kind, e.payload->>'node' FROM run_events e JOIN runs r ON r.id = e.run_id
    WHERE e.run_id = %s AND e.seq > %s AND e.type = %s ORDER BY e.seq
"""
_LAST_NODE = """
    SELECT type, payload->>'node' FROM run_events
    WHERE run_id = %s AND type IN ('NodeStarted', 'NodeFinished') ORDER BY seq DESC LIMIT 1
"""


@dataclass(slots=True)
class Strike:
    """One kill -9: of whom, in which chapter, at which moment, how much later.

    A moment is `{kind} {node}` or `{stream} {number of the entry in the chapter}`. is_inside: the run had begun the
    node and nothing after it when langgraph was gone.
    """

    service: str
    chapter: int
    moment: str
    delay_seconds: float = 0.0
    pid: int | None = None
    is_inside: bool = False


class Striker:
    """Listens and strikes; `chapter` is advanced by the test with each message."""

    def __init__(self, bench: Bench, strikes: Iterable[Strike], streams: Iterable[Stream[Any]]) -> None:
        self._bench = bench
        self._streams = list(streams)
        self._nodes: psycopg.AsyncConnection[TupleRow]
        self._seen: Counter[str] = Counter()
        self._entries: Counter[str] = Counter()
        self.strikes = list(strikes)
        self.chapter = 0

    def fired(self, service: str | None = None) -> list[Strike]:
        return [strike for strike in self.strikes if strike.pid is not None and service in (None, strike.service)]

    def next_chapter(self) -> None:
        self.chapter += 1
        self._entries.clear()

    async def _announce(self, moment: str, run_id: str | None = None) -> None:
        for strike in self.strikes:
            if strike.pid is None and (strike.chapter, strike.moment) == (self.chapter, moment):
                await self._strike(strike, run_id)

    async def _strike(self, strike: Strike, run_id: str | None) -> None:
        if strike.delay_seconds:
            await asyncio.sleep(strike.delay_seconds)
        child = self._bench.child(strike.service)
        process = child.process
        if process is None or process.returncode is not None:
            return
        strike.pid = process.pid
        self._bench.signal(strike.service)
        if run_id is not None and strike.service == "langgraph":
            await process.wait()
            strike.is_inside = await self._is_inside(run_id, strike.moment.split()[1])

    async def _is_inside(self, run_id: str, node: str) -> bool:
        row = await (await self._nodes.execute(_LAST_NODE, (run_id,))).fetchone()
        return row is not None and (row[0], row[1]) == (RunEventType.NODE_STARTED, node)

    async def listen_to_nodes(self) -> None:
        """Announce every node that begins, until cancelled."""
        plan = self._bench.stack.plan
        url = plan.database_url("postgres")
        async with (
            await psycopg.AsyncConnection.connect(url, autocommit=True) as listening,
            await psycopg.AsyncConnection.connect(url, autocommit=True) as asking,
        ):
            self._nodes = asking
            await listening.execute(f"LISTEN {CHANNEL}")
            async for note in listening.notifies():
                run_id = note.payload
                rows = await asking.execute(_NEW_NODES, (run_id, self._seen[run_id], RunEventType.NODE_STARTED))
                for seq, kind, node in await rows.fetchall():
                    self._seen[run_id] = seq
                    await self._announce(f"{kind} {node}", run_id)

    async def listen_to(self, stream: Stream[Any]) -> None:
        """Announce every new entry of a stream, until cancelled."""
        after = (await self._bench.bus.stats(stream)).last_id or "0"
        while True:
            for entry_id, _ in await self._bench.bus.read(stream, after=after, block_ms=READ_MS):
                after = entry_id
                self._entries[stream.name] += 1
                await self._announce(f"{stream.name} {self._entries[stream.name]}")

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Strike while the block runs."""
        tasks = [
            asyncio.create_task(self.listen_to_nodes()),
            *(asyncio.create_task(self.listen_to(s)) for s in self._streams),
        ]
        try:
            yield
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
