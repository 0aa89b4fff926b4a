"""The embedded stores: real servers, private data, passwords, clear refusals."""

from __future__ import annotations

import os
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError

from shared.runtime.embedded import EmbeddedStoreError, require_reachable
from shared.runtime.embedded_postgres import EmbeddedPostgres
from shared.runtime.ports import free_port
from shared.testing.redis_server import running_redis
from shared.testing.store_process import StoreFolder, StoreProcess

pytestmark = pytest.mark.service


async def test_each_test_gets_an_empty_postgres_database(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
        assert await connection.fetchval("SELECT lower('Д')") == "д"
    finally:
        await connection.close()


async def test_postgres_keeps_its_data_over_a_restart_and_refuses_a_wrong_password() -> None:
    folder = StoreFolder("postgres-restart-")
    store = EmbeddedPostgres(folder.path / "data", free_port(), "s3cret:/@", is_durable=False)
    process = StoreProcess(store)
    try:
        await process.start()
        await _execute(store.dsn(), "CREATE TABLE kept (n int)")
        await process.stop()
        await process.start()
        await _execute(store.dsn(), "INSERT INTO kept VALUES (1)")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(f"postgresql://postgres:wrong@127.0.0.1:{store.port}/postgres")
        assert "s3cret" not in " ".join(store.command())
    finally:
        await process.stop()
        folder.remove()


async def test_redis_keeps_its_data_over_a_restart_and_refuses_a_wrong_password() -> None:
    folder = StoreFolder("redis-restart-")
    try:
        async with running_redis(folder.path / "data", password='pa"ss word', appendonly=True) as server:
            await _set(server.url, "kept", "1")
            await server.stop()
            await server.start()
            client = Redis.from_url(server.url)
            assert await client.get("kept") == b"1"
            await client.aclose()
            stranger = Redis(port=server.port, password="wrong", retry=Retry(NoBackoff(), 0))
            with pytest.raises(AuthenticationError):
                await stranger.get("kept")
            await stranger.aclose()
    finally:
        folder.remove()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts stores as another user")
def test_a_folder_that_the_stores_user_cannot_reach_is_refused_by_name(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(EmbeddedStoreError, match=r"may not pass through .*chmod o\+x"):
        EmbeddedPostgres(closed / "data", 1, "x").prepare()


def test_a_folder_is_always_reachable_when_the_store_runs_as_the_caller(tmp_path: Path) -> None:
    require_reachable(tmp_path / "data", None)


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _set(url: str, key: str, value: str) -> None:
    client = Redis.from_url(url)
    await client.set(key, value)
    await client.aclose()
