"""Create every table of the first version; the statements are in the file beside this one."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_STATEMENTS = Path(__file__).with_suffix(".sql")
_TABLES = (
    "audit chat_messages dead_letters idempotency_keys incidents leases outbox settings task_executions users workers "
    "allocations deployments evidence run_events runs tasks projects servers"
)


def upgrade() -> None:
    """Create the tables and their indexes."""
    for statement in _STATEMENTS.read_text(encoding="utf-8").split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    """Drop them again, children first."""
    for table in _TABLES.split():
        op.drop_table(table)
