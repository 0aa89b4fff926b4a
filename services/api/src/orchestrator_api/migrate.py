"""`python -m orchestrator_api.migrate`: bring the database to the newest revision; two at once wait for each other."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from asyncpg.exceptions import PostgresError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from orchestrator_api.db.urls import sqlalchemy_url
from orchestrator_api.revision import HEAD_REVISION
from orchestrator_api.settings import MigrationSettings
from shared.logging import get_logger, setup_logging
from shared.runtime.settings import settings_or_exit

MIGRATION_LOCK = 0x6D69_6772  # any number no other advisory lock of ours uses
log = get_logger(__name__)


def alembic_config() -> Config:
    """Return the configuration: there is no ini file, the scripts ship inside the package."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


async def migrate(url: str) -> None:
    """Upgrade to head under an advisory lock."""
    engine = create_async_engine(sqlalchemy_url(url), poolclass=NullPool)
    try:
        async with engine.connect() as guard, engine.connect() as connection:
            await guard.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
            await connection.run_sync(_upgrade)
            await connection.commit()
    finally:
        await engine.dispose()


def _upgrade(connection: sa.Connection) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def main() -> int:
    """Migrate the database named in the environment."""
    settings = settings_or_exit("api-migrate", MigrationSettings)
    setup_logging("api-migrate", "INFO", "json")
    try:
        asyncio.run(migrate(settings.database_url.get_secret_value()))
    except (OSError, DBAPIError, PostgresError) as error:
        log.error("migration failed", error=str(error))
        return 1
    log.info("migrated", revision=HEAD_REVISION)
    return 0


if __name__ == "__main__":
    sys.exit(main())
