"""Connections to Redis that carry the process's name: shared for commands, one for each blocking reader.

Timeouts and retries are kept here, around a whole exchange: redis-py's own cost a task for each write. Its pool costs a
third of a round trip, so a few connections are kept outside it between exchanges.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection as Connection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.redis.errors import translate

COMMAND_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 3.0
READ_MARGIN_SECONDS = 5.0
MAX_CONNECTIONS = 32
MAX_KEPT = 2
RETRIES = 5
T = TypeVar("T")


# Bodies are bytes and replies are lists, whatever a given client prefers for itself.
_PROTOCOL: dict[str, Any] = {
    "protocol": 2,
    "decode_responses": False,
    "socket_timeout": None,
    "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
}
_NOT_COPIED = ("maint_notifications", "event_dispatcher", "parser_class")
_NEVER = Retry(NoBackoff(), 0)
_PATIENT = Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), RETRIES)


def _plain(response: Any, **_: Any) -> Any:
    return response


class Connections:
    """Opens lazily; every reader it hands out is closed by its holder."""

    def __init__(self, redis: Redis | None, url: str | None, service: str) -> None:
        if redis is None and url is None:
            raise ValueError("give a Redis client or a URL")
        self.given = redis
        self._url = url
        self._service = service
        self._commands: Redis | None = None
        self._kept: list[Connection] = []

    @property
    def commands(self) -> Redis:
        """The client for commands that answer at once; safe to share, used through run() and exchange()."""
        if self._commands is None:
            pool = self._pool(
                BlockingConnectionPool,
                max_connections=MAX_CONNECTIONS,
                timeout=COMMAND_TIMEOUT_SECONDS,
                retry=_NEVER,
                client_name=self._service or "bus",
            )
            self._commands = _plain_client(pool)
        return self._commands

    async def exchange(self, packed: bytes, number: int) -> list[Any]:
        """Write commands at once and read their replies, the server's refusals among them; raises a BusError leaf."""
        return await _patiently(lambda: self._try(packed, number))

    def open_reader(self, name: str, block_ms: int) -> Reader:
        """Return a reader whose timeout lies above BLOCK and which never retries."""
        return Reader(
            self._pool(ConnectionPool, max_connections=1, retry=_NEVER, client_name=name),
            block_ms / 1000 + READ_MARGIN_SECONDS,
        )

    async def close(self) -> None:
        """Close this bus's own connections."""
        if self._commands is not None:
            await self._commands.aclose()
        self._commands = None
        self._kept.clear()

    async def _try(self, packed: bytes, number: int) -> list[Any]:
        pool = self.commands.connection_pool
        connection = self._kept.pop() if self._kept else await _connected(pool)
        is_kept = False
        try:
            replies = await _write_and_read(connection, packed, number)
            is_kept = len(self._kept) < MAX_KEPT
        finally:
            if is_kept:
                self._kept.append(connection)
            else:
                await pool.release(connection)
        return replies

    def _pool(self, kind: type[ConnectionPool], **options: Any) -> ConnectionPool:
        options = {**options, **_PROTOCOL}
        if self.given is None:
            return kind.from_url(self._url or "", **options)
        theirs = self.given.connection_pool
        kept = {name: value for name, value in theirs.connection_kwargs.items() if not name.startswith(_NOT_COPIED)}
        return kind(connection_class=theirs.connection_class, **{**kept, **options})


class Reader:
    """One connection, kept between calls, that waits for as long as a blocking command may take."""

    def __init__(self, pool: ConnectionPool, timeout_seconds: float) -> None:
        self._pool = pool
        self._timeout_seconds = timeout_seconds
        self._connection: Connection | None = None

    async def exchange(self, packed: bytes) -> Any:
        """Write one command and return its reply; raises a BusError leaf."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                if self._connection is None:
                    self._connection = await _connected(self._pool)
                [reply] = await _write_and_read(self._connection, packed, 1)
        except (RedisError, OSError) as error:
            raise translate(error) from error
        if isinstance(reply, Exception):
            raise translate(reply) from reply
        return reply

    async def close(self) -> None:
        """Close the connection."""
        self._connection = None
        await self._pool.aclose()


async def _connected(pool: ConnectionPool) -> Connection:
    acquire: Callable[[], Awaitable[Connection]] = pool.get_connection
    return await acquire()


async def _write_and_read(connection: Connection, packed: bytes, number: int) -> list[Any]:
    await connection.send_packed_command(packed)
    replies: list[Any] = []
    for _ in range(number):
        try:
            replies.append(await connection.read_response())
        except ResponseError as error:
            replies.append(error)
    return replies


def pack(*words: bytes) -> bytes:
    """Return one command as it is sent."""
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


def _plain_client(pool: ConnectionPool) -> Redis:
    """Keep stream replies as lists: building a dictionary per entry costs more than reading it."""
    client = Redis.from_pool(pool)
    for command in ("XREADGROUP", "XREAD", "XRANGE", "XCLAIM", "XAUTOCLAIM", "XPENDING"):
        client.set_response_callback(command, _plain)
    return client


async def run(client: Redis, *command: str | int | bytes) -> Any:
    """Run one command and return its reply; raises a BusError leaf."""
    execute: Callable[..., Awaitable[Any]] = client.execute_command
    return await _patiently(lambda: execute(*command))


async def _patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try again while there is no connection or no answer, each time within the timeout."""

    async def timed() -> T:
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_SECONDS):
                return await attempt()
        except TimeoutError as error:
            raise RedisTimeoutError(f"no answer within {COMMAND_TIMEOUT_SECONDS:.0f} s") from error

    try:
        return await _PATIENT.call_with_retry(timed, _nothing)
    except (RedisError, OSError) as error:
        raise translate(error) from error


async def _nothing(_: Exception) -> None:
    """A connection that failed was closed where it failed."""
