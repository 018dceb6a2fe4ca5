"""Windows of the auditor, and what it observed in them.

Revision: 0035.
"""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "auditor_observations",
        sa.Column("observation_id", sa.Text, nullable=False),
        sa.Column("detector", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("judged_at", sa.DateTime(timezone=True)),
        sa.Column("numbers", sa.Text, nullable=False),
        sa.Column("recommendation", sa.Text, nullable=False),
        sa.Column("windows", sa.Text, nullable=False),
        sa.Column("explanation", sa.Text),
        sa.PrimaryKeyConstraint("observation_id", name="pk_auditor_observations"),
    )
    op.create_index(
        "ix_auditor_observations_detector_subject", "auditor_observations", ["detector", "subject"]
    )
    op.create_index("ix_auditor_observations_last_at", "auditor_observations", ["last_at"])
    op.create_table(
        "auditor_windows",
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "begun_at", "seconds", name="pk_auditor_windows"),
    )
    op.create_index("ix_auditor_windows_begun_at", "auditor_windows", ["begun_at"])
