"""Connections: short reads without a transaction, writes in one, and an outage told apart from a bug."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sqlalchemy as sa
from asyncpg.exceptions import PostgresError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from orchestrator_api.db.urls import sqlalchemy_url
from orchestrator_api.errors import BadRequest, DatabaseUnavailable

CONNECT_TIMEOUT_SECONDS = 5.0
POOL_TIMEOUT_SECONDS = 5.0
# connection exceptions, insufficient resources, operator intervention, serialization and deadlock failures
_OUTAGE_CLASSES = ("08", "53", "57", "40")


def is_outage(error: BaseException) -> bool:
    """Tell whether the database could not be used, as opposed to a statement it refused."""
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        state = getattr(error.orig, "sqlstate", None)
        return isinstance(state, str) and state.startswith(_OUTAGE_CLASSES)
    if isinstance(error, PostgresError):
        return (error.sqlstate or "").startswith(_OUTAGE_CLASSES)
    return isinstance(error, OSError | TimeoutError | asyncio.TimeoutError | PoolTimeout)


def refused_value(error: BaseException) -> BadRequest | None:
    """Return the caller's fault if the database cannot hold a value: a NUL in a text, a number out of range."""
    state = getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None)
    if isinstance(state, str) and state.startswith("22"):
        return BadRequest("a value cannot be stored: text must not hold NUL, numbers must fit 64 bits")
    return None


@asynccontextmanager
async def _told_apart() -> AsyncIterator[None]:
    """Raise DatabaseUnavailable for an outage and BadRequest for an impossible value; anything else as it is."""
    try:
        yield
    except (OSError, TimeoutError, PoolTimeout, DBAPIError, PostgresError) as error:
        if is_outage(error):
            raise DatabaseUnavailable from error
        if (fault := refused_value(error)) is not None:
            raise fault from error
        raise


class Database:
    """One connection pool. `read` commits by itself, `write` is a transaction that commits when the block ends."""

    def __init__(self, url: str, *, pool_size: int = 10, name: str = "api") -> None:
        self.url = url
        self._engine: AsyncEngine = create_async_engine(
            sqlalchemy_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_SECONDS,
            connect_args={"timeout": CONNECT_TIMEOUT_SECONDS, "server_settings": {"application_name": name}},
        )
        self._reader = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection whose statements each commit: reads and single-statement writes."""
        async with _told_apart(), self._reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection in a transaction; an exception rolls it back."""
        async with _told_apart(), self._engine.begin() as connection:
            yield connection

    async def ping(self) -> None:
        """Raise DatabaseUnavailable unless the database answers."""
        async with self.read() as connection:
            await connection.execute(sa.text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()
