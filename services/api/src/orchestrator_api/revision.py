"""Which revision of the database this code needs and whether it is there, without alembic: the api starts fast."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator_api.db.engine import Database
from orchestrator_api.errors import MigrationMissing

HEAD_REVISION = "0002"  # the newest file of migrations/versions


async def check_migrated(database: Database) -> None:
    """Raise MigrationMissing unless the database is at head."""
    async with database.read() as connection:
        current = await _current(connection)
    if current != HEAD_REVISION:
        raise MigrationMissing(
            f"the database is at revision {current or 'none'}: run python -m orchestrator_api.migrate"
        )


async def _current(connection: AsyncConnection) -> str | None:
    """Ask the table itself: alembic writes two lines of log each time it is asked, and readiness asks often."""
    if await connection.scalar(sa.text("SELECT to_regclass('alembic_version')")) is None:
        return None
    revision: str | None = await connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return revision
