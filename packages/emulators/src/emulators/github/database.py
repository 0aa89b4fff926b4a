"""The SQLite file with everything that is not git. Used on the event loop only: each statement takes microseconds.

Owns the schema and transactions; refuses to await inside one, which is what makes a block of statements atomic.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS tokens (
    digest TEXT PRIMARY KEY, owner TEXT NOT NULL, repository_ids TEXT, permissions TEXT NOT NULL,
    expires_at REAL NOT NULL, quiet INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS repositories (
    id INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL COLLATE NOCASE, name TEXT NOT NULL COLLATE NOCASE,
    description TEXT, private INTEGER NOT NULL, default_branch TEXT NOT NULL, settings TEXT NOT NULL,
    secret_key BLOB NOT NULL, next_number INTEGER NOT NULL DEFAULT 1,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL, pushed_at TEXT, UNIQUE (owner, name)
);
CREATE TABLE IF NOT EXISTS refs (
    repository_id INTEGER NOT NULL REFERENCES repositories ON DELETE CASCADE,
    name TEXT NOT NULL, sha TEXT NOT NULL, PRIMARY KEY (repository_id, name)
);
CREATE TABLE IF NOT EXISTS pulls (
    id INTEGER PRIMARY KEY AUTOINCREMENT, repository_id INTEGER NOT NULL REFERENCES repositories ON DELETE CASCADE,
    number INTEGER NOT NULL, title TEXT NOT NULL, body TEXT, state TEXT NOT NULL, draft INTEGER NOT NULL,
    head_ref TEXT NOT NULL, base_ref TEXT NOT NULL, head_sha TEXT NOT NULL, base_sha TEXT NOT NULL,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL, closed_at TEXT, merged_at TEXT, merge_sha TEXT,
    UNIQUE (repository_id, number)
);
CREATE TABLE IF NOT EXISTS protections (
    repository_id INTEGER NOT NULL REFERENCES repositories ON DELETE CASCADE,
    branch TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (repository_id, branch)
);
CREATE TABLE IF NOT EXISTS statuses (
    id INTEGER PRIMARY KEY AUTOINCREMENT, repository_id INTEGER NOT NULL REFERENCES repositories ON DELETE CASCADE,
    sha TEXT NOT NULL, context TEXT NOT NULL, state TEXT NOT NULL, description TEXT, target_url TEXT,
    created_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS secrets (
    repository_id INTEGER NOT NULL REFERENCES repositories ON DELETE CASCADE, name TEXT NOT NULL, sealed BLOB NOT NULL,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL, PRIMARY KEY (repository_id, name)
);
CREATE TABLE IF NOT EXISTS variables (
    repository_id INTEGER NOT NULL REFERENCES repositories ON DELETE CASCADE, name TEXT NOT NULL, value TEXT NOT NULL,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL, PRIMARY KEY (repository_id, name)
);
CREATE TABLE IF NOT EXISTS workflows (
    id INTEGER PRIMARY KEY AUTOINCREMENT, repository_id INTEGER NOT NULL REFERENCES repositories ON DELETE CASCADE,
    path TEXT NOT NULL, created_at TEXT NOT NULL, UNIQUE (repository_id, path)
);
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, repository_id INTEGER NOT NULL REFERENCES repositories ON DELETE CASCADE,
    workflow_id INTEGER NOT NULL, path TEXT NOT NULL, name TEXT NOT NULL, run_number INTEGER NOT NULL,
    run_attempt INTEGER NOT NULL, event TEXT NOT NULL, ref TEXT NOT NULL, head_branch TEXT NOT NULL,
    head_sha TEXT NOT NULL, display_title TEXT NOT NULL, status TEXT NOT NULL, conclusion TEXT, message TEXT,
    inputs TEXT NOT NULL, payload TEXT NOT NULL, server_url TEXT NOT NULL, pull_number INTEGER,
    cancelled INTEGER NOT NULL,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL, run_started_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS runs_by_sha ON runs (repository_id, head_sha);
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    key TEXT NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL, conclusion TEXT,
    started_at TEXT, completed_at TEXT, created_at TEXT NOT NULL, steps TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS processes (
    job_id INTEGER NOT NULL, group_id INTEGER NOT NULL, start_ticks INTEGER NOT NULL, PRIMARY KEY (job_id, group_id)
);
CREATE TABLE IF NOT EXISTS artifacts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    name TEXT NOT NULL, size INTEGER NOT NULL, created_at TEXT NOT NULL, UNIQUE (run_id, name)
);
"""


class Database:
    """One connection in WAL mode: what is committed survives a kill of the process."""

    def __init__(self, path: Path) -> None:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=5)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute("PRAGMA foreign_keys=ON")
        self._connection.executescript(SCHEMA)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit the block as one, or nothing of it; inside another transaction it joins that one."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def execute(self, sql: str, values: Sequence[object] = ()) -> int:
        """Run one statement; returns the number of rows it changed."""
        return self._connection.execute(sql, tuple(values)).rowcount

    def insert(self, sql: str, values: Sequence[object] = ()) -> int:
        """Run one INSERT; returns the new row's id."""
        row_id = self._connection.execute(sql, tuple(values)).lastrowid
        assert row_id is not None
        return row_id

    def one(self, sql: str, values: Sequence[object] = ()) -> sqlite3.Row | None:
        """Return the first row, if any."""
        row: sqlite3.Row | None = self._connection.execute(sql, tuple(values)).fetchone()
        return row

    def all(self, sql: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Return all rows."""
        return self._connection.execute(sql, tuple(values)).fetchall()
