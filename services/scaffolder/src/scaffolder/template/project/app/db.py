"""SQLite: one connection per request, numbered migrations. Statements commit by themselves."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

MIGRATIONS = Path(__file__).resolve().parent / "migrations"


def connect(path: Path) -> sqlite3.Connection:
    """Open the database; rows are readable by column name, every statement outside `transaction` commits at once."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit several statements as one, or none of them."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def migrate(path: Path, folder: Path = MIGRATIONS) -> list[str]:
    """Run each NNNN_name.sql that this database has not seen, in order; returns the names of those that ran."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = connect(path)
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS schema_migrations (name TEXT PRIMARY KEY)")
        done = {row["name"] for row in connection.execute("SELECT name FROM schema_migrations")}
        new = [file for file in sorted(folder.glob("[0-9]*.sql")) if file.name not in done]
        for file in new:
            # One script, one transaction: a migration that fails leaves nothing behind.
            record = f"INSERT INTO schema_migrations (name) VALUES ('{file.name}');"
            connection.executescript(f"BEGIN IMMEDIATE;\n{file.read_text(encoding='utf-8')}\n;{record}\nCOMMIT;")
        return [file.name for file in new]
    finally:
        connection.close()


def get_db(request: Request) -> Iterator[sqlite3.Connection]:
    """Hand a connection to a route and close it afterwards."""
    connection = connect(request.app.state.settings.database_path)
    try:
        yield connection
    finally:
        connection.close()


Database = Annotated[sqlite3.Connection, Depends(get_db)]
