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


def _plain(response: Any, **_: Any) -> Any:
    return response


class Connections:
    """Opens lazily; every reader it hands out is closed by its holder."""

    def __init__(self, redis: Redis | None, url: str | None, service: str) -> None:
        if redis is None and url is None:
            raise ValueError("give a Redis client or a URL")
        self._given = redis
        self._url = url
        self._service = service
        self._commands: Redis | None = None

    @property
    def commands(self) -> Redis:
        """The client for commands that answer at once; safe to share."""
        if self._commands is None:
            self._commands = self._given if self._given is not None else self._open_commands()
            _use_plain_stream_replies(self._commands)
        return self._commands

    def open_reader(self, name: str, block_ms: int) -> Redis:
        """Return a client with one connection whose socket timeout lies above BLOCK and which never retries."""
        options: dict[str, Any] = {
            "socket_timeout": block_ms / 1000 + READ_MARGIN_SECONDS,
            "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "retry": Retry(NoBackoff(), 0),
            "client_name": name,
            "protocol": 2,
        }
        if self._url is not None:
            pool = ConnectionPool.from_url(self._url, max_connections=1, **options)
        else:
            given = self.commands.connection_pool
            kwargs = {**given.connection_kwargs, **options}
            pool = ConnectionPool(connection_class=given.connection_class, max_connections=1, **kwargs)
        reader = Redis.from_pool(pool)
        _use_plain_stream_replies(reader)
        return reader

    async def close(self) -> None:
        """Close the command connections, unless they belong to the caller."""
        if self._commands is not None and self._given is None:
            await self._commands.aclose()
        self._commands = None

    def _open_commands(self) -> Redis:
        pool = BlockingConnectionPool.from_url(
            self._url or "",
            max_connections=MAX_CONNECTIONS,
            timeout=COMMAND_TIMEOUT_SECONDS,
            socket_timeout=COMMAND_TIMEOUT_SECONDS,
            socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
            retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), RETRIES),
            client_name=self._service or "bus",
            protocol=2,
        )
        return Redis.from_pool(pool)


def _use_plain_stream_replies(client: Redis) -> None:
    """Keep replies as lists: building a dictionary per entry costs more than reading it."""
    for command in ("XREADGROUP", "XREAD", "XRANGE", "XCLAIM", "XAUTOCLAIM", "XPENDING"):
        client.set_response_callback(command, _plain)


async def run(client: Redis, *command: str | int | bytes) -> Any:
    """Run one command and return its reply; raises a BusError leaf."""
    execute: Callable[..., Awaitable[Any]] = client.execute_command
    try:
        return await execute(*command)
    except (RedisError, OSError) as error:
        raise translate(error) from error
