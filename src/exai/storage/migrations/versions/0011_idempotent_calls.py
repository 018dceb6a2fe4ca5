"""Rename the table of calls under a key, and its column, to the field's term: idempotency key.

Revision: 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "idempotent_calls",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("tool", sa.Text, nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("began_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Column("result", sa.Text),
        sa.PrimaryKeyConstraint("owner", "idempotency_key", name="pk_idempotent_calls"),
    )
    op.execute(
        "INSERT INTO idempotent_calls"
        " (owner, idempotency_key, digest, tool, call_id, run_id, began_at, ended_at, result)"
        " SELECT owner, operation_key, digest, tool, call_id, run_id, began_at, ended_at, result FROM operations"
    )
    op.drop_table("operations")
    op.create_index("ix_idempotent_calls_began_at", "idempotent_calls", ["began_at"])
