"""pytest plugin: a real Redis and a real PostgreSQL per session, an empty database of each per test.

TEST_REDIS_URL and TEST_DATABASE_URL point at servers that run already. Of a Redis, each of the processes that pytest
runs at once takes, and flushes, one logical database after the one that is named.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
from redis.asyncio import Redis

from shared.redis.client import RedisStreamClient
from shared.redis.retry import RetryPolicy
from shared.testing.postgres_server import RunningPostgres, running_postgres
from shared.testing.redis_releases import WHEEL, binary_of
from shared.testing.redis_server import RunningRedis, running_redis
from shared.testing.settings import StoreSettings

T = TypeVar("T")


def numbered(redis_url: str, offset: int) -> str:
    """Return the URL of the logical database that comes `offset` after the one that is named."""
    parts = urlsplit(redis_url)
    return urlunsplit(parts._replace(path=f"/{int(parts.path.strip('/') or 0) + offset}"))


@contextmanager
def _held(resource: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Enter an async context manager for a whole session; its event loop is nobody else's."""
    with asyncio.Runner() as runner:
        value = runner.run(resource.__aenter__())
        try:
            yield value
        finally:
            runner.run(resource.__aexit__(None, None, None))


@pytest.fixture(scope="session")
def redis_binary(request: pytest.FixtureRequest) -> Path | None:
    """The server to run; None is the wheel's. Modules marked with BOTH_SERVERS run against each release."""
    return binary_of(getattr(request, "param", WHEEL), request.config.rootpath)


@pytest.fixture(scope="session")
def redis_servers() -> Iterator[Callable[[Path | None], RunningRedis]]:
    """One server of each release for the whole session, whichever test asks first and whatever comes between."""
    running: dict[Path | None, RunningRedis] = {}
    with ExitStack() as stack:

        def of(binary: Path | None) -> RunningRedis:
            if binary not in running:
                running[binary] = stack.enter_context(_held(running_redis(binary=binary)))
            return running[binary]

        yield of


@pytest.fixture(scope="session")
def redis_server(redis_servers: Callable[[Path | None], RunningRedis], redis_binary: Path | None) -> RunningRedis:
    """One server for the session; a test that stops it starts one of its own with running_redis()."""
    return redis_servers(redis_binary)


@pytest.fixture(scope="session")
def worker_number(request: pytest.FixtureRequest) -> int:
    """Which of the processes that run tests at once this is; 0 when there is one."""
    workerinput: dict[str, str] = getattr(request.config, "workerinput", {})
    return int(workerinput.get("workerid", "gw0").removeprefix("gw"))


@pytest.fixture
def redis_server_url(request: pytest.FixtureRequest, redis_binary: Path | None, worker_number: int) -> str:
    """The URL of a logical database that the tests of this process may flush."""
    given = StoreSettings().redis_url
    if given:
        return numbered(given, worker_number + 1)
    url: str = request.getfixturevalue("redis_server").url
    return url


@pytest.fixture
async def redis_url(redis_server_url: str) -> str:
    """The URL of an empty logical database."""
    async with Redis.from_url(redis_server_url, socket_timeout=30) as client:
        await client.flushdb()
    return redis_server_url


@pytest.fixture
async def bus(redis_url: str) -> AsyncIterator[RedisStreamClient]:
    """A client of the real bus that retries without pauses."""
    client = RedisStreamClient(url=redis_url, service="test", retry=RetryPolicy.immediate())
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[RunningPostgres]:
    """One server for the session."""
    with _held(running_postgres()) as server:
        yield server


@pytest.fixture
def database_template() -> str | None:
    """The database that each test's database is a copy of; a test package overrides this with a migrated one."""
    return None


@pytest.fixture(scope="session")
def postgres_admin_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database from which others may be created."""
    url: str = StoreSettings().database_url or request.getfixturevalue("postgres_server").dsn()
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)


@pytest.fixture
async def database_url(postgres_admin_url: str, database_template: str | None) -> AsyncIterator[str]:
    """The URL (`postgresql://…`) of a fresh database, dropped after the test."""
    async with fresh_database(postgres_admin_url, database_template) as url:
        yield url


@asynccontextmanager
async def fresh_database(admin_url: str, template: str | None = None) -> AsyncIterator[str]:
    """Give the URL of a database that is dropped after the block."""
    name = f"test_{uuid4().hex[:16]}"
    clause = f' TEMPLATE "{template}"' if template else ""
    await _execute(admin_url, f'CREATE DATABASE "{name}"{clause}')
    try:
        yield urlunsplit(urlsplit(admin_url)._replace(path=f"/{name}"))
    finally:
        await _execute(admin_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
