"""Snapshots of folders, and an index of who refers to contents, and why.

Revision: 0022.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "snapshots",
        sa.Column("tree_id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("manifest_sha256", sa.Text, nullable=False),
        sa.Column("entries", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tree_id", name="pk_snapshots"),
    )
    op.create_index("ix_snapshots_owner_created_at", "snapshots", ["owner", "created_at"])
    op.create_index("ix_file_references_owner_reason", "file_references", ["owner", "reason"])
