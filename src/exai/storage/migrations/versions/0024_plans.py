"""Plans and their items.

Revision: 0024.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "plans",
        sa.Column("plan_id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("goal", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("plan_id", name="pk_plans"),
    )
    op.create_index("ix_plans_owner_updated_at", "plans", ["owner", "updated_at"])
    op.create_table(
        "plan_items",
        sa.Column("plan_id", sa.Text, nullable=False),
        sa.Column("item", sa.Integer, nullable=False),
        sa.Column("parent", sa.Integer),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("accept", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("step", sa.Integer),
        sa.Column("branch", sa.Text),
        sa.ForeignKeyConstraint(
            ["plan_id"], ["plans.plan_id"], name="fk_plan_items_plan_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("plan_id", "item", name="pk_plan_items"),
    )
