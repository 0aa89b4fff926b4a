"""A real PostgreSQL for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from shared.runtime.embedded_postgres import EmbeddedPostgres
from shared.runtime.ports import free_port
from shared.testing.store_process import StoreFolder, StoreProcess


class RunningPostgres(StoreProcess):
    """A server with its port; dsn(database) names one of its databases."""

    def __init__(self, store: EmbeddedPostgres) -> None:
        super().__init__(store)
        self.port = store.port
        self._postgres = store

    def dsn(self, database: str = "postgres") -> str:
        """Return the URL of a database, as the superuser."""
        return self._postgres.dsn(database)


@asynccontextmanager
async def running_postgres(data_dir: Path | None = None, *, is_durable: bool = False) -> AsyncIterator[RunningPostgres]:
    """Run a server on a free port; without a data_dir its data goes with it."""
    folder = StoreFolder("postgres-test-") if data_dir is None else None
    path = folder.path / "data" if folder is not None else data_dir
    try:
        server = RunningPostgres(EmbeddedPostgres(path or Path(), free_port(), "test", is_durable=is_durable))
        try:
            await server.start()
            yield server
        finally:
            await server.stop()
    finally:
        if folder is not None:
            folder.remove()
