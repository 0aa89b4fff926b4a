"""Connections to Redis that carry the process's name; one for commands, one of its own for each blocking reader."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import RedisError

from shared.redis.errors import translate

COMMAND_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 3.0
READ_MARGIN_SECONDS = 5.0
MAX_CONNECTIONS = 32
RETRIES = 5


# Bodies are bytes and replies are lists, whatever a given client prefers for itself.
_PROTOCOL: dict[str, Any] = {
    "protocol": 2,
    "decode_responses": False,
    "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
}
_NOT_COPIED = ("maint_notifications", "event_dispatcher", "parser_class")


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

    @property
    def commands(self) -> Redis:
        """The client for commands that answer at once; safe to share."""
        if self._commands is None:
            pool = self._pool(
                BlockingConnectionPool,
                max_connections=MAX_CONNECTIONS,
                timeout=COMMAND_TIMEOUT_SECONDS,
                socket_timeout=COMMAND_TIMEOUT_SECONDS,
                retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), RETRIES),
                client_name=self._service or "bus",
            )
            self._commands = _plain_client(pool)
        return self._commands

    def open_reader(self, name: str, block_ms: int) -> Redis:
        """Return a client with one connection whose socket timeout lies above BLOCK and which never retries."""
        pool = self._pool(
            ConnectionPool,
            max_connections=1,
            socket_timeout=block_ms / 1000 + READ_MARGIN_SECONDS,
            retry=Retry(NoBackoff(), 0),
            client_name=name,
        )
        return _plain_client(pool)

    async def close(self) -> None:
        """Close this bus's own connections."""
        if self._commands is not None:
            await self._commands.aclose()
        self._commands = None

    def _pool(self, kind: type[ConnectionPool], **options: Any) -> ConnectionPool:
        options = {**options, **_PROTOCOL}
        if self.given is None:
            return kind.from_url(self._url or "", **options)
        theirs = self.given.connection_pool
        kept = {name: value for name, value in theirs.connection_kwargs.items() if not name.startswith(_NOT_COPIED)}
        return kind(connection_class=theirs.connection_class, **{**kept, **options})


def _plain_client(pool: ConnectionPool) -> Redis:
    """Keep stream replies as lists: building a dictionary per entry costs more than reading it."""
    client = Redis.from_pool(pool)
    for command in ("XREADGROUP", "XREAD", "XRANGE", "XCLAIM", "XAUTOCLAIM", "XPENDING"):
        client.set_response_callback(command, _plain)
    return client


async def run(client: Redis, *command: str | int | bytes) -> Any:
    """Run one command and return its reply; raises a BusError leaf."""
    execute: Callable[..., Awaitable[Any]] = client.execute_command
    try:
        return await execute(*command)
    except (RedisError, OSError) as error:
        raise translate(error) from error
