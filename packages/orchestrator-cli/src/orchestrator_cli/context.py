"""What one invocation works with: settings, the api, and Redis when it is needed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator_cli.gateway import Gateway
from orchestrator_cli.settings import CliSettings, load_settings

if TYPE_CHECKING:
    from shared.redis.bus import Bus


@dataclass(frozen=True, slots=True)
class Context:
    """`open_bus` connects lazily: commands that only read never load the Redis client."""

    settings: CliSettings
    gateway: Gateway
    open_bus: Callable[[], AbstractAsyncContextManager[Bus]]
    scope: str = field(repr=False)


_given: ContextVar[Context | None] = ContextVar("cli_context", default=None)


@contextmanager
def given(context: Context) -> Iterator[None]:
    """Let commands invoked inside work with this context instead of the environment's."""
    token = _given.set(context)
    try:
        yield
    finally:
        _given.reset(token)


def current_context() -> Context:
    """Return the context commands work with: one that was given, else what the environment says."""
    return _given.get() or make_context(load_settings())


def make_context(settings: CliSettings) -> Context:
    """Return the real thing: http.client and Redis."""
    from orchestrator_cli.http_gateway import HttpGateway  # late: `--help` needs no HTTP
    from orchestrator_cli.keys import request_scope

    return Context(
        settings=settings,
        gateway=HttpGateway(settings),
        open_bus=lambda: _bus(settings),
        scope=request_scope(settings.request_id),
    )


@asynccontextmanager
async def _bus(settings: CliSettings) -> AsyncIterator[Bus]:
    from shared.redis.client import RedisStreamClient  # late: reading commands never talk to Redis

    bus = RedisStreamClient(url=settings.redis_url, service="orchestrator-cli")
    try:
        yield bus
    finally:
        await bus.close()
