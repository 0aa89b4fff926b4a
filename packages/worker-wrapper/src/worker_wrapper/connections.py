"""Connections to Redis: the process's own, and a client of our own beside one that was handed in."""

from __future__ import annotations

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff

from worker_wrapper.settings import WrapperSettings

COMMAND_SECONDS = 10.0
CONNECT_SECONDS = 3.0
RETRIES = 3


def connect(settings: WrapperSettings) -> Redis:
    """Return the worker's client, named after it."""
    return Redis.from_url(
        settings.redis_url,
        client_name=f"worker-{settings.worker_id}",
        socket_timeout=COMMAND_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), RETRIES),
        protocol=2,
    )


def sibling(redis: Redis) -> Redis:
    """Return another client of the same server: the bus reads replies its own way, a caller's client stays as it is."""
    given = redis.connection_pool
    # The pool keeps handlers of its own among its connections' arguments; they belong to that pool alone.
    kwargs = {k: v for k, v in given.connection_kwargs.items() if not k.startswith(("maint_", "orig_"))}
    kwargs.update(protocol=2, decode_responses=False)
    return Redis.from_pool(ConnectionPool(connection_class=given.connection_class, **kwargs))
