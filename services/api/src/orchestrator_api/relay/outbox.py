"""The outbox table as the relay uses it: rows in order, marked after Redis has answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from pydantic import ValidationError

from orchestrator_api.db.urls import asyncpg_dsn
from shared.logging import get_logger, redact, redact_body

CHANNEL = "outbox"
PUBLISH = "publish"
LEADER_LOCK = 0x6F75_7401  # numbers no other advisory lock of ours uses
DRAIN_LOCK = 0x6F75_7402
CONNECT_TIMEOUT_SECONDS = 5.0
SHOWN_ERRORS = 3
log = get_logger(__name__)

Connection = asyncpg.Connection | PoolConnectionProxy

_UNPUBLISHED = "SELECT id, kind, stream, body FROM outbox WHERE published_at IS NULL"
_READ = f"{_UNPUBLISHED} AND kind = '{PUBLISH}' ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED"
_READ_RUN = f"{_UNPUBLISHED} AND kind = '{PUBLISH}' AND run_id = $2 ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED"
_READ_INSTRUCTIONS = f"{_UNPUBLISHED} AND kind <> '{PUBLISH}' ORDER BY id LIMIT $1"
_BURY = """
    INSERT INTO dead_letters (stream, "group", entry_id, reason, error, attempts, service, body)
    VALUES ($1, 'outbox', $2, 'undecodable', $3, 1, 'api-relay', $4) ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """Kind `publish`: the body is a message of the stream. Any other kind is an instruction for the relay."""

    id: int
    stream: str
    body: str
    kind: str = PUBLISH


class Outbox:
    """One connection: whoever holds the drain lock reads in order, so that no run's events overtake each other."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    @classmethod
    async def connect(cls, url: str) -> Outbox:
        """Open the connection; OSError or PostgresError when the database cannot be reached."""
        settings = {"application_name": "orchestrator-relay"}
        return cls(await asyncpg.connect(asyncpg_dsn(url), timeout=CONNECT_TIMEOUT_SECONDS, server_settings=settings))

    @asynccontextmanager
    async def draining(self) -> AsyncIterator[None]:
        """Hold the drain lock and a transaction: what is marked inside is marked when the block ends without error."""
        async with self.connection.transaction():
            await self.connection.execute("SELECT pg_advisory_xact_lock($1)", DRAIN_LOCK)
            yield

    async def unpublished(self, limit: int, run_id: str | None = None) -> list[OutboxRow]:
        """Return the oldest messages not yet published."""
        if run_id is None:
            rows = await self.connection.fetch(_READ, limit)
        else:
            rows = await self.connection.fetch(_READ_RUN, limit, run_id)
        return [_row(row) for row in rows]

    async def instructions(self, limit: int) -> list[OutboxRow]:
        """Return the oldest instructions not yet carried out."""
        return [_row(row) for row in await self.connection.fetch(_READ_INSTRUCTIONS, limit)]

    async def mark(self, rows: Sequence[OutboxRow]) -> None:
        """Mark rows as published."""
        await self.connection.execute(
            "UPDATE outbox SET published_at = now() WHERE id = ANY($1::bigint[])", [row.id for row in rows]
        )

    async def bury(self, row: OutboxRow, error: Exception) -> None:
        """Keep a row that cannot be published as a dead letter, without the secrets it may hold."""
        reason = described(error)
        log.error("an outbox row cannot be carried out", row=row.id, kind=row.kind, stream=row.stream, error=reason)
        await self.connection.execute(_BURY, row.stream, str(row.id), reason, redact_body(row.body))

    async def forget_published(self) -> None:
        """Delete rows published more than a day ago."""
        await self.connection.execute("DELETE FROM outbox WHERE published_at < now() - interval '1 day'")

    async def try_lead(self) -> bool:
        """Become the leader if nobody is; the lock lasts as long as the connection."""
        return bool(await self.connection.fetchval("SELECT pg_try_advisory_lock($1)", LEADER_LOCK))

    async def close(self) -> None:
        """Close the connection at once."""
        self.connection.terminate()


def described(error: Exception) -> str:
    """Name what is wrong with a body; its values stay out, they may be secrets."""
    if isinstance(error, ValidationError):
        items = error.errors(include_input=False, include_url=False)[:SHOWN_ERRORS]
        return "; ".join(f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in items)
    return redact(f"{type(error).__name__}: {error}")


def _row(row: asyncpg.Record) -> OutboxRow:
    return OutboxRow(row["id"], row["stream"], row["body"], row["kind"])
