"""Alembic's entry: runs on the connection that orchestrator_api.migrate hands over, never on one of its own."""

from __future__ import annotations

from alembic import context

from orchestrator_api.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
