"""Postgres checkpoints in their own schema, with a fence per run: a driver that lost its lease cannot write.

Holds no state of a paused run in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, LiteralString, Protocol

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from psycopg import AsyncConnection, InterfaceError, OperationalError, sql
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from agent_graphs.errors import CheckpointsUnavailable, LeaseLost

SCHEMA = "checkpoints"
FENCE = "fence"
_SETUP_LOCK = 720_114_991
_ASK_AGAIN_SECONDS = 0.05
_FENCES: LiteralString = "CREATE TABLE IF NOT EXISTS run_fences (run_id text PRIMARY KEY, fence bigint NOT NULL)"
_ADMIT: LiteralString = """
    INSERT INTO run_fences (run_id, fence) VALUES (%s, %s)
    ON CONFLICT (run_id) DO UPDATE SET fence = excluded.fence WHERE run_fences.fence <= excluded.fence
    RETURNING fence
"""
_CURRENT: LiteralString = "SELECT fence FROM run_fences WHERE run_id = %s"
_FORGET: LiteralString = "DELETE FROM run_fences WHERE run_id = %s"


class Checkpoints(Protocol):
    """Where graphs keep their state. `saver` goes into the compiled graphs."""

    @property
    def saver(self) -> BaseCheckpointSaver[Any]: ...

    async def admit(self, run_id: str, fence: int) -> None:
        """Let this fence write and no older one; LeaseLost when a newer one was admitted."""

    async def forget(self, run_id: str) -> None:
        """Drop everything about a finished run."""

    async def ping(self) -> None:
        """Raise unless the store answers."""


class _FencedSaver(AsyncPostgresSaver):
    """Asks before every write whether the run's fence is still the writer's."""

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        await self._require(config)
        return await super().aput(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await self._require(config)
        await super().aput_writes(config, writes, task_id, task_path)

    async def _require(self, config: RunnableConfig) -> None:
        fence = config["configurable"].get(FENCE)
        if fence is None:
            return
        run_id = config["configurable"]["thread_id"]
        async with self._cursor() as cursor:
            row = await (await cursor.execute(_CURRENT, (run_id,))).fetchone()
        if row is not None and row["fence"] > fence:
            raise LeaseLost(run_id)


class PostgresCheckpoints:
    """Checkpoints over a connection pool with autocommit."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[DictRow]]) -> None:
        self._pool = pool
        self._saver = _FencedSaver(pool, serde=_serializer())

    @property
    def saver(self) -> BaseCheckpointSaver[Any]:
        return self._saver

    async def set_up(self) -> None:
        """Create or migrate the tables; one process at a time."""
        await self._saver.setup()
        async with self._pool.connection() as connection:
            await connection.execute(_FENCES)

    async def admit(self, run_id: str, fence: int) -> None:
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_ADMIT, (run_id, fence))).fetchone()
        if row is None:
            raise LeaseLost(run_id)

    async def forget(self, run_id: str) -> None:
        await self._saver.adelete_thread(run_id)
        async with self._pool.connection() as connection:
            await connection.execute(_FORGET, (run_id,))

    async def ping(self) -> None:
        async with self._pool.connection() as connection:
            await connection.execute("SELECT 1")


class MemoryCheckpoints:
    """Checkpoints of this process only, with the same fence."""

    def __init__(self) -> None:
        self._saver = InMemorySaver(serde=_serializer())
        self._fences: dict[str, int] = {}

    @property
    def saver(self) -> BaseCheckpointSaver[Any]:
        return self._saver

    async def admit(self, run_id: str, fence: int) -> None:
        if self._fences.get(run_id, 0) > fence:
            raise LeaseLost(run_id)
        self._fences[run_id] = fence

    async def forget(self, run_id: str) -> None:
        await self._saver.adelete_thread(run_id)
        self._fences.pop(run_id, None)

    async def ping(self) -> None:
        return None


@asynccontextmanager
async def open_checkpoints(
    database_url: str, *, application_name: str = "langgraph", schema: str = SCHEMA, max_connections: int = 10
) -> AsyncIterator[PostgresCheckpoints]:
    """Open the pool on the schema, which is created first when it is missing.

    `database_url` is a libpq URL; a SQLAlchemy driver suffix is taken off.
    """
    url = libpq_url(database_url)
    kwargs = {
        "autocommit": True,
        "prepare_threshold": 0,
        "row_factory": dict_row,
        "application_name": application_name,
        "options": f"-c search_path={schema}",
    }
    pool: AsyncConnectionPool[AsyncConnection[DictRow]] = AsyncConnectionPool(
        url,
        min_size=1,
        max_size=max_connections,
        open=False,
        kwargs=kwargs,
        check=AsyncConnectionPool.check_connection,
        timeout=15,
    )
    async with pool:
        checkpoints = PostgresCheckpoints(pool)
        async with _turn(url, application_name) as connection:
            await _ensure_schema(connection, schema)
            await checkpoints.set_up()
        yield checkpoints


async def _ensure_schema(connection: AsyncConnection[Any], schema: str) -> None:
    """Make the schema where it is missing; a role that may not make one works in the one an operator made."""
    found = await connection.execute("SELECT 1 WHERE to_regnamespace(%s) IS NOT NULL", (schema,))
    if await found.fetchone() is None:
        await connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))


@contextmanager
def named_failures() -> Iterator[None]:
    """Turn what the driver raises when Postgres is away into CheckpointsUnavailable."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise CheckpointsUnavailable(f"Postgres does not answer: {error}") from error


def libpq_url(database_url: str) -> str:
    """Return the URL as libpq reads it."""
    scheme, separator, rest = database_url.partition("://")
    return f"{scheme.partition('+')[0]}{separator}{rest}"


@asynccontextmanager
async def _turn(url: str, application_name: str) -> AsyncIterator[AsyncConnection[Any]]:
    """Let replicas that start together set up one after the other.

    The lock is tried again and again, not waited for: the migrations build indexes concurrently, which waits for every
    statement in progress, a waiting lock statement included.
    """
    async with await AsyncConnection.connect(url, autocommit=True, application_name=application_name) as connection:
        while not await _is_locked(connection):
            await asyncio.sleep(_ASK_AGAIN_SECONDS)
        yield connection


async def _is_locked(connection: AsyncConnection[Any]) -> bool:
    """Take the set-up lock, which lasts as long as the connection, unless somebody has it."""
    row = await (await connection.execute("SELECT pg_try_advisory_lock(%s)", (_SETUP_LOCK,))).fetchone()
    return bool(row and row[0])


def _serializer() -> JsonPlusSerializer:
    """Read back primitives only, whatever the environment says."""
    return JsonPlusSerializer(allowed_msgpack_modules=None)
