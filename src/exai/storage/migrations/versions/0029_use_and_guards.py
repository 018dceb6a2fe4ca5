"""What guards count of the last hours, and under which names tools were called, by day.

Revision: 0029.
"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "guarded_calls",
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("usd", sa.Double, nullable=False),
        sa.Column("model_s", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("call_id", name="pk_guarded_calls"),
    )
    op.create_index("ix_guarded_calls_owner_began_at", "guarded_calls", ["owner", "began_at"])
    op.create_table(
        "use_counts",
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("tool", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("calls", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("cost_usd", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("day", "owner", "kind", "tool", "name", name="pk_use_counts"),
    )
