"""Files at providers that nobody uses any more, until they are deleted there.

Revision: 0012.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

NAME = "provider_file_deletions"


def upgrade() -> None:
    op.create_table(
        NAME,
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("remote_id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("condemned_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("provider", "account", "remote_id", name=f"pk_{NAME}"),
    )
    op.create_index(f"ix_{NAME}_condemned_at", NAME, ["condemned_at"])
