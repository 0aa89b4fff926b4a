"""The api writes rows and nothing else: no Redis, no GitHub, no call to anybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from redis.asyncio import Redis

from orchestrator_api.db.engine import Database
from orchestrator_api.db.tables import metadata
from shared.clients.api import ApiClient
from shared.testing.api_process import running_api
from shared.testing.api_scenes import new_project, new_task


@dataclass
class Surroundings:
    """An api that was told where Redis is and where GitHub answers, and the connections GitHub saw."""

    api: ApiClient
    github_calls: list[str]


@pytest.fixture
async def surroundings(database_url: str, redis_url: str) -> AsyncIterator[Surroundings]:
    calls: list[str] = []

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(str(writer.get_extra_info("peername")))
        writer.close()

    async with await asyncio.start_server(note, "127.0.0.1", 0) as github:
        url = f"http://127.0.0.1:{github.sockets[0].getsockname()[1]}"
        told = {"REDIS_URL": redis_url, "GITHUB_API_URL": url, "HTTP_PROXY": url, "HTTPS_PROXY": url}
        async with running_api(database_url, is_migrated=True, environment=told) as process:
            async with ApiClient(process.base_url, process.service_token()) as client:
                yield Surroundings(client, calls)


async def row_counts(database: Database) -> dict[str, int]:
    counts: dict[str, int] = {}
    async with database.read() as connection:
        for table in metadata.sorted_tables:
            query = sa.select(sa.func.count()).select_from(table)
            counts[table.name] = (await connection.execute(query)).scalar_one()
    return {name: count for name, count in counts.items() if count}


async def test_post_tasks_no_redis_publish(surroundings: Surroundings, redis_url: str, database: Database) -> None:
    await new_task(surroundings.api)
    async with Redis.from_url(redis_url) as redis:
        assert await redis.dbsize() == 0
    assert "outbox" not in await row_counts(database)


async def test_post_tasks_no_github_calls(surroundings: Surroundings) -> None:
    await new_task(surroundings.api)
    assert surroundings.github_calls == []


async def test_post_projects_pure_db(surroundings: Surroundings, redis_url: str, database: Database) -> None:
    project = await new_project(surroundings.api)
    assert await row_counts(database) == {"projects": 1, "idempotency_keys": 1}
    assert await surroundings.api.get_project(project.id) == project
    async with Redis.from_url(redis_url) as redis:
        assert await redis.dbsize() == 0
    assert surroundings.github_calls == []
