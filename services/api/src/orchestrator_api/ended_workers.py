"""Which workers have ended: their tokens end with them, not when they expire."""

from __future__ import annotations

import time

import sqlalchemy as sa

from orchestrator_api.db.engine import Database
from orchestrator_api.db.tables import workers
from shared.contracts.vocabulary import WorkerStatus

LOOK_AGAIN_SECONDS = 2.0
CACHE_SIZE = 4096
FINAL = (WorkerStatus.COMPLETED, WorkerStatus.FAILED, WorkerStatus.STOPPED)


class EndedWorkers:
    """Looks each worker up at most every two seconds; one nobody reported yet lives."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looked_at: dict[str, float] = {}
        self._ended: set[str] = set()

    async def has_ended(self, worker_id: str) -> bool:
        """Tell whether a worker's final status was reported."""
        if worker_id in self._ended:
            return True
        now = time.monotonic()
        if now - self._looked_at.get(worker_id, -LOOK_AGAIN_SECONDS) < LOOK_AGAIN_SECONDS:
            return False
        if len(self._looked_at) + len(self._ended) >= CACHE_SIZE:
            self._looked_at.clear()
            self._ended.clear()
        query = sa.select(workers.c.status).where(workers.c.id == worker_id)
        async with self._database.read() as connection:
            status = (await connection.execute(query)).scalar_one_or_none()
        if status in FINAL:
            self._ended.add(worker_id)
            self._looked_at.pop(worker_id, None)
            return True
        self._looked_at[worker_id] = now
        return False
