"""Whose the files at a provider are: one caller's picture is nothing to another.

Revision: 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
NAME = "provider_file_uploads"


def upgrade() -> None:
    # The primary key changes, which SQLite does by a new table alone. It is a memory of some thousand rows at most.
    rows = [dict(row) for row in op.get_bind().execute(sa.select(_table())).mappings()]
    op.drop_table(NAME)
    table = op.create_table(
        NAME,
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("remote_id", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("uploaded_at", MOMENT, nullable=False),
        sa.Column("used_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("provider", "account", "purpose", "owner", "sha256", name=f"pk_{NAME}"),
    )
    op.create_index(f"ix_{NAME}_provider_account_used_at", NAME, ["provider", "account", "used_at"])
    # What lay there before there were callers belongs to the one local user.
    op.bulk_insert(table, [{**row, "owner": "local"} for row in rows])


def _table() -> sa.TableClause:
    names = ("provider", "account", "purpose", "sha256", "remote_id", "bytes")
    moments = (sa.column(name, MOMENT) for name in ("uploaded_at", "used_at"))
    return sa.table(NAME, *(sa.column(name) for name in names), *moments)
