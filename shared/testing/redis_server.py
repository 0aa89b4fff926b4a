"""A real Redis for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from shared.runtime.embedded_redis import EmbeddedRedis
from shared.runtime.ports import free_port
from shared.testing.store_process import StoreFolder, StoreProcess


class RunningRedis(StoreProcess):
    """A server with its URL and port."""

    def __init__(self, store: EmbeddedRedis) -> None:
        super().__init__(store)
        self.port = store.port
        self.url = store.url()
        self._redis = store

    def url_of(self, database: int) -> str:
        """Return the URL of a logical database."""
        return self._redis.url(database)


@asynccontextmanager
async def running_redis(
    data_dir: Path | None = None, password: str | None = None, appendonly: bool = False, binary: Path | None = None
) -> AsyncIterator[RunningRedis]:
    """Run a server on a free port; without a data_dir its data goes with it, without a binary it is the wheel's.

    With appendonly it has all that it confirmed again after a kill, also when the disk was busy.
    """
    folder = StoreFolder("redis-test-") if data_dir is None else None
    path = folder.path / "data" if folder is not None else data_dir
    try:
        where = path or Path()
        store = EmbeddedRedis(where, free_port(), password, is_durable=appendonly, flush="always", binary=binary)
        server = RunningRedis(store)
        try:
            await server.start()
            yield server
        finally:
            await server.stop()
    finally:
        if folder is not None:
            folder.remove()
