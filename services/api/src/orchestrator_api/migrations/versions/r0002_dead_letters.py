"""Dead letters can be replayed and discarded: states in their rows, kinds of outbox rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLE = "dead_letters"
INDEX = "ix_dead_letters_state_id"


def upgrade() -> None:
    """Add the columns; the rows there are become open."""
    op.add_column(TABLE, sa.Column("letter_id", sa.Text))
    op.add_column(TABLE, sa.Column("state", sa.Text, nullable=False, server_default="open"))
    op.add_column(TABLE, sa.Column("outcome", sa.Text))
    changed = sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())
    op.add_column(TABLE, changed)
    op.create_index(INDEX, TABLE, ["state", "id"])
    op.add_column("outbox", sa.Column("kind", sa.Text, nullable=False, server_default="publish"))


def downgrade() -> None:
    """Drop the columns; requests nobody has carried out yet are forgotten."""
    op.execute("DELETE FROM outbox WHERE kind <> 'publish'")
    op.drop_column("outbox", "kind")
    op.drop_index(INDEX, TABLE)
    for name in ("updated_at", "outcome", "state", "letter_id"):
        op.drop_column(TABLE, name)
