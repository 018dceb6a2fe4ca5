"""Rollups of hours, and baselines with their reports.

Revision: 0040.
"""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    counts = ("requests", "input_tokens", "cached_tokens", "output_tokens")
    op.create_table(
        "call_rollups",
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("tool", "provider", "model")),
        sa.Column("calls", sa.Integer, nullable=False),
        sa.Column("outcomes", sa.Text, nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in counts),
        sa.Column("cost_usd", sa.Double, nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("without_price", "emulated")),
        sa.Column("stages", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("hour", "tool", "provider", "model", name="pk_call_rollups"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rollup_hours",
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("calls", "open")),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hour", name="pk_rollup_hours"),
    )
    op.create_index("ix_rollup_hours_open", "rollup_hours", ["open"])
    _create_baselines()


def _create_baselines() -> None:
    op.create_table(
        "baseline_runs",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("name", "state")),
        *(
            sa.Column(name, sa.DateTime(timezone=True), nullable=False)
            for name in ("began_at", "planned_end")
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("filter", "note", "release", "settings_digest")
        ),
        sa.Column("speed", sa.Double, nullable=False),
        sa.Column("load", sa.Text),
        sa.PrimaryKeyConstraint("name", name="pk_baseline_runs"),
    )
    op.create_index("ix_baseline_runs_state", "baseline_runs", ["state"])
    op.create_table(
        "baseline_reports",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["name"], ["baseline_runs.name"], ondelete="CASCADE", name="fk_baseline_reports_name"
        ),
        sa.PrimaryKeyConstraint("name", name="pk_baseline_reports"),
    )
