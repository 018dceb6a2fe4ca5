"""Operations: calls that carry a key.

Revision: 0006.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "operations",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("operation_key", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("tool", sa.Text, nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("began_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Column("result", sa.Text),
        sa.PrimaryKeyConstraint("owner", "operation_key", name="pk_operations"),
    )
    op.create_index("ix_operations_began_at", "operations", ["began_at"])
