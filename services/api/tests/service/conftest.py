"""A migrated database, copied for every test, and one api that the tests of a session share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from orchestrator_api.db.engine import Database
from orchestrator_api.migrate import migrate
from shared.clients.api import ApiClient
from shared.testing.api_process import ApiServer, running_api
from shared.testing.settings import StackSettings, StoreSettings


def _named(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def admin_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database from which others may be created."""
    given = StoreSettings().database_url
    url: str = given or request.getfixturevalue("postgres_server").dsn()
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)


@pytest.fixture(scope="session")
def migrated(admin_url: str) -> Iterator[str]:
    """The name of a migrated database without rows."""
    name = f"api_template_{uuid4().hex[:12]}"
    with asyncio.Runner() as runner:
        runner.run(_execute(admin_url, f'CREATE DATABASE "{name}"'))
        runner.run(migrate(_named(admin_url, name)))
        yield name
        runner.run(_execute(admin_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@pytest.fixture
def database_template(migrated: str) -> str:
    """Let `database_url` be a copy of the migrated database."""
    return migrated


@pytest.fixture(scope="session")
def shared_database_url(request: pytest.FixtureRequest, admin_url: str) -> Iterator[str]:
    """The database of the api that tests share."""
    if StackSettings().api_replica_url:
        yield admin_url
        return
    migrated: str = request.getfixturevalue("migrated")
    name = f"api_shared_{uuid4().hex[:12]}"
    with asyncio.Runner() as runner:
        runner.run(_execute(admin_url, f'CREATE DATABASE "{name}" TEMPLATE "{migrated}"'))
        yield _named(admin_url, name)
        with suppress(asyncpg.PostgresError):
            runner.run(_execute(admin_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@pytest.fixture(scope="session")
def api_server(shared_database_url: str) -> Iterator[ApiServer]:
    """One api for the session, which no test may stop: the deployed replica, else a process."""
    stack = StackSettings()
    if stack.api_replica_url:
        yield ApiServer(stack.api_replica_url)
        return
    with asyncio.Runner() as runner:
        context = running_api(shared_database_url, is_migrated=True)
        process = runner.run(context.__aenter__())
        try:
            yield process.server
        finally:
            runner.run(context.__aexit__(None, None, None))


@pytest.fixture
async def api(api_server: ApiServer) -> AsyncIterator[ApiClient]:
    """A client with a service's token."""
    async with ApiClient(api_server.base_url, api_server.service_token(), retry_seconds=20) as client:
        yield client


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database of this test's own."""
    database = Database(database_url, pool_size=30, name="test")
    try:
        yield database
    finally:
        await database.close()
