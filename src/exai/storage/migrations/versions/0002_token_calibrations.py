"""What was learnt about the token counts of each model.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "token_calibrations",
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("samples", sa.BigInteger, nullable=False),
        sa.Column("estimated", sa.Double, nullable=False),
        sa.Column("reported", sa.Double, nullable=False),
        sa.Column("error", sa.Double, nullable=False),
        sa.Column("weight", sa.Double, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("model", name="pk_token_calibrations"),
    )
