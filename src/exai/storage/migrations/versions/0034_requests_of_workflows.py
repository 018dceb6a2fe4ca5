"""The arguments of the calls that began runs of workflows.

Revision: 0034.
"""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workflow_requests",
        sa.Column("workflow_id", sa.Text, nullable=False),
        sa.Column("arguments", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("workflow_id", name="pk_workflow_requests"),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["workflows.workflow_id"],
            name="fk_workflow_requests_workflow_id_workflows",
            ondelete="CASCADE",
        ),
    )
