"""The migration makes exactly the tables the code describes, once, whoever runs it."""

from __future__ import annotations

import asyncio
import logging

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from orchestrator_api.db.engine import Database
from orchestrator_api.db.tables import metadata
from orchestrator_api.errors import MigrationMissing
from orchestrator_api.migrate import alembic_config, migrate
from orchestrator_api.revision import HEAD_REVISION, check_migrated

TENANT_TABLES = {"projects", "tasks", "runs", "run_events", "evidence", "allocations", "deployments", "chat_messages"}


@pytest.fixture
def database_template() -> None:
    """Begin with an empty database."""


async def test_two_migrations_at_once_leave_the_tables_of_the_code(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(MigrationMissing):
        await check_migrated(database)
    await asyncio.gather(*(migrate(database_url) for _ in range(3)))
    await check_migrated(database)
    async with database.read() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


def differences(connection: sa.Connection) -> list[object]:
    return list(
        compare_metadata(MigrationContext.configure(connection, opts={"compare_server_default": True}), metadata)
    )


async def test_looking_whether_it_is_migrated_writes_no_log(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(database_url)
    with caplog.at_level(logging.INFO):
        with pytest.raises(MigrationMissing, match="at revision none"):
            await check_migrated(database)
        await migrate(database_url)
        assert "alembic" in "".join(record.name for record in caplog.records)
        caplog.clear()
        await check_migrated(database)
    assert caplog.records == []
    await database.close()


async def test_the_migration_can_be_taken_back(database_url: str) -> None:
    await migrate(database_url)
    database = Database(database_url)

    def downgrade(connection: sa.Connection) -> None:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    async with database.write() as connection:
        await connection.run_sync(downgrade)
    async with database.read() as connection:
        left = await connection.run_sync(lambda raw: sa.inspect(raw).get_table_names())
    assert left == ["alembic_version"]
    await database.close()


def test_every_tenant_table_names_its_owner() -> None:
    assert all("owner_id" in metadata.tables[name].c for name in TENANT_TABLES)


def test_the_revision_the_api_asks_for_is_the_newest() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_current_head() == HEAD_REVISION
