"""Identity: signing keys, tokens and what ended them.

Revision: 0007.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.Text, nullable=False),
        sa.Column("algorithm", sa.Text, nullable=False),
        sa.Column("public_key", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("retired_at", MOMENT),
        sa.Column("verifies_until", MOMENT),
        sa.PrimaryKeyConstraint("kid", name="pk_signing_keys"),
    )
    op.create_table(
        "tokens",
        sa.Column("token_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("access_s", sa.Double),
        sa.Column("secret_sha256", sa.Text),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT),
        sa.Column("access_until", MOMENT),
        sa.Column("last_used_at", MOMENT),
        sa.Column("revoked_at", MOMENT),
        sa.PrimaryKeyConstraint("token_id", name="pk_tokens"),
    )
    op.create_index("ix_tokens_subject", "tokens", ["subject"])
    op.create_table(
        "refresh_tokens",
        sa.Column("refresh_id", sa.Text, nullable=False),
        sa.Column("token_id", sa.Text, nullable=False),
        sa.Column("parent_id", sa.Text),
        sa.Column("secret_sha256", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("spent_at", MOMENT),
        sa.PrimaryKeyConstraint("refresh_id", name="pk_refresh_tokens"),
        sa.ForeignKeyConstraint(
            ["token_id"], ["tokens.token_id"], name="fk_refresh_tokens_token_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_refresh_tokens_token_id", "refresh_tokens", ["token_id"])
    op.create_table(
        "revocations",
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("token_id", sa.Text, nullable=False),
        sa.Column("revoked_at", MOMENT, nullable=False),
        sa.Column("keep_until", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("issuer", "token_id", name="pk_revocations"),
    )
    op.create_table(
        "principals",
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("epoch_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_principals"),
    )
    revision_row = op.create_table(
        "auth_revision",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_auth_revision"),
    )
    op.bulk_insert(revision_row, [{"id": 1, "revision": 0}])
