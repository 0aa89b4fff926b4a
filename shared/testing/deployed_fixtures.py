"""pytest plugin: what deployed services work with, and the logs of services in the reports of failing tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from shared.clients.api import ApiClient
from shared.redis.client import RedisStreamClient
from shared.redis.retry import RetryPolicy
from shared.testing.api_process import running_api, running_relay
from shared.testing.deployed import Surroundings
from shared.testing.fixtures import numbered
from shared.testing.logs import followed_logs
from shared.testing.settings import StackSettings, StoreSettings

# Behind the logical databases that the other tests of this process, and of its siblings, flush.
OFFSET = 8


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the last lines of the services' logs to the report of a failure."""
    report = yield
    if report.failed:
        report.sections.extend((f"log of {name}", said) for name, said in followed_logs())
    return report


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def surroundings(request: pytest.FixtureRequest, worker_number: int) -> Iterator[Surroundings]:
    """The containers' stores and api; where there are none, an api and a relay as processes on stores of a test."""
    stack, stores = StackSettings(), StoreSettings()
    if stack.stack:
        yield Surroundings(stores.redis_url, stores.database_url, stack.api_url)
        return
    redis_url = stores.redis_url or request.getfixturevalue("redis_servers")(None).url
    admin_url = stores.database_url or request.getfixturevalue("postgres_server").dsn()
    name = f"deployed_{uuid4().hex[:12]}"
    database_url = urlunsplit(urlsplit(admin_url)._replace(path=f"/{name}"))
    redis_url = numbered(redis_url, OFFSET + worker_number)
    with asyncio.Runner() as runner:
        runner.run(_execute(admin_url, f'CREATE DATABASE "{name}"'))
        api = running_api(database_url)
        process = runner.run(api.__aenter__())
        relay = running_relay(database_url, redis_url)
        runner.run(relay.__aenter__())
        try:
            yield Surroundings(redis_url, database_url, process.base_url)
        finally:
            runner.run(relay.__aexit__(None, None, None))
            runner.run(api.__aexit__(None, None, None))
            runner.run(_execute(admin_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@pytest.fixture
async def outside_bus(surroundings: Surroundings) -> AsyncIterator[RedisStreamClient]:
    """The bus of the deployed services."""
    client = RedisStreamClient(url=surroundings.redis_url, service="test", retry=RetryPolicy.immediate())
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def outside_api(surroundings: Surroundings) -> AsyncIterator[ApiClient]:
    """A client of the deployed api."""
    async with ApiClient(surroundings.api_url, surroundings.token(), retry_seconds=10) as client:
        yield client
