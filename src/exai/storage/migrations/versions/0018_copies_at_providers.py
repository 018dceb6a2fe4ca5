"""Copies at providers with their states, and what became of what was deleted.

Revision: 0018.
"""

import secrets
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
COPIES = "provider_file_uploads"
CONDEMNED = "provider_file_deletions"
LIVE = "status IN ('sending', 'ready', 'unverified')"


def upgrade() -> None:
    # The primary key changes, which SQLite does by a new table alone. It is a memory of some thousand rows at most.
    kept = [
        _as_copy(row) for row in _rows(COPIES, ("purpose", "sha256", "bytes"), ("uploaded_at", "used_at"))
    ]
    condemned = [_as_condemned(row) for row in _rows(CONDEMNED, (), ("condemned_at",))]
    op.drop_table(COPIES)
    op.drop_table(CONDEMNED)
    op.bulk_insert(create_copies(), kept + condemned)
    op.bulk_insert(
        create_deletions(),
        [
            {
                "what": "copy",
                "subject": row["copy_id"],
                "owner": row["owner"],
                "place": row["provider"],
                "asked_at": row["uploaded_at"],
            }
            for row in condemned
        ],
    )


def create_copies() -> sa.Table:
    table = op.create_table(
        COPIES,
        sa.Column("copy_id", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text),
        sa.Column("provider_file_id", sa.Text),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("upload_method", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error_code", sa.Text),
        sa.Column("run_id", sa.Text),
        sa.Column("uploaded_at", MOMENT, nullable=False),
        sa.Column("used_at", MOMENT, nullable=False),
        sa.Column("verified_at", MOMENT),
        sa.Column("expires_at", MOMENT),
        sa.Column("ended_at", MOMENT),
        sa.PrimaryKeyConstraint("copy_id", name=f"pk_{COPIES}"),
    )
    op.create_index(
        f"ix_{COPIES}_live",
        COPIES,
        ["provider", "account", "purpose", "owner", "sha256"],
        unique=True,
        sqlite_where=sa.text(LIVE),
        postgresql_where=sa.text(LIVE),
    )
    for columns in (
        ["provider", "account", "provider_file_id"],
        ["provider", "account", "used_at"],
        ["owner", "sha256"],
        ["status"],
    ):
        op.create_index(f"ix_{COPIES}_{'_'.join(columns)}", COPIES, columns)
    return table


def create_deletions() -> sa.Table:
    table = op.create_table(
        "deletions",
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("sha256", sa.Text),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("confirmed_at", MOMENT),
        sa.Column("confirmed_by", sa.Text),
        sa.Column("error_code", sa.Text),
        sa.PrimaryKeyConstraint("what", "subject", name="pk_deletions"),
    )
    op.create_index("ix_deletions_asked_at", "deletions", ["asked_at"])
    return table


def _rows(name: str, columns: tuple[str, ...], moments: tuple[str, ...]) -> list[dict[str, Any]]:
    table = sa.table(
        name,
        *(sa.column(each) for each in ("provider", "account", "owner", "remote_id", *columns)),
        *(sa.column(each, MOMENT) for each in moments),
    )
    return [dict(row) for row in op.get_bind().execute(sa.select(table)).mappings()]


def _as_copy(row: dict[str, Any]) -> dict[str, Any]:
    """A copy as it was uploaded: all of them were pictures, named by their content."""
    remote_id = row.pop("remote_id")
    return row | _common(remote_id, f"exai-{row['sha256']}", "ready") | {"verified_at": row["uploaded_at"]}


def _as_condemned(row: dict[str, Any]) -> dict[str, Any]:
    """A copy that is to be deleted; of what content was forgotten."""
    remote_id, at = row.pop("remote_id"), row.pop("condemned_at")
    rest = {
        "purpose": "image",
        "sha256": None,
        "bytes": 0,
        "uploaded_at": at,
        "used_at": at,
        "verified_at": None,
    }
    return row | rest | _common(remote_id, "", "deleting")


def _common(remote_id: str, filename: str, status: str) -> dict[str, Any]:
    return {
        "copy_id": f"copy_{secrets.token_hex(12)}",
        "provider_file_id": remote_id,
        "filename": filename,
        "upload_method": "picture",
        "status": status,
        "attempts": 0,
    }
