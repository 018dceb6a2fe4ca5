"""Resumable uploads: how far one has come, what it is to become, and when it is over.

Revision: 0019.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, kind in (
        ("state", sa.Text()),
        ("received", sa.BigInteger()),
        ("name", sa.Text()),
        ("expected_sha256", sa.Text()),
        ("metadata", sa.Text()),
        ("expires_at", sa.DateTime(timezone=True)),
        ("file_id", sa.Text()),
    ):
        op.add_column("file_uploads", sa.Column(name, kind))
    op.create_index("ix_file_uploads_expires_at", "file_uploads", ["expires_at"])
