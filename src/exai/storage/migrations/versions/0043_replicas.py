"""Replicas in place of runs, with a beat by the database's clock, and leases.

Revision: 0043.
"""

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

COPY = """
INSERT INTO replicas (run_id, tag, release, settings_digest, host, state, began_at, beat_at, samples, fault_batch)
SELECT run_id, substr(run_id, length(run_id) - 7), release, settings_digest, host,
       CASE WHEN ended IS NULL THEN 'serving' ELSE 'gone' END, started, coalesce(ended, heartbeat), '{}', fault_batch
FROM runs
"""


def upgrade() -> None:
    op.create_table(
        "replicas",
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("tag", sa.Text),
        sa.Column("address", sa.Text),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("settings_digest", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("samples", sa.Text, nullable=False),
        sa.Column("fault_batch", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_replicas"),
    )
    op.execute(COPY)
    op.drop_table("runs")
    op.create_index("ix_replicas_tag", "replicas", ["tag"], unique=True)
    op.create_index("ix_replicas_began_at", "replicas", ["began_at"])
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
