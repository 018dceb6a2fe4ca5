"""What purses granted: requests to providers of callers that have a budget.

Revision: 0032.
"""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "budget_grants",
        sa.Column("purse", sa.Text, nullable=False),
        sa.Column("seq", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("reserved_usd", sa.Double, nullable=False),
        sa.Column("settled_usd", sa.Double),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("purse", "seq", name="pk_budget_grants"),
    )
    op.create_index("ix_budget_grants_purse_at", "budget_grants", ["purse", "at"])
    op.create_index("ix_budget_grants_call_id", "budget_grants", ["call_id"])
