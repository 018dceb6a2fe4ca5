"""Runs, spans of calls, samples of processes, and faults in groups.

Revision: 0033.
"""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

UNCOUNTED = "error_counted IS NULL AND (error_hash IS NOT NULL OR outcome = 'lost')"

VIEW = """
CREATE VIEW error_investigations AS
SELECT g.number AS id,
       (SELECT min(f.hash) FROM error_fingerprints f WHERE f.group_id = g.group_id) AS error_hash,
       g.title AS error_message,
       coalesce(g.code, g.kind) AS error_type,
       g.culprit AS error_context,
       CAST(NULL AS TEXT) AS investigation_result,
       CAST(NULL AS TEXT) AS fix_recommendation,
       CAST(NULL AS TEXT) AS model_used,
       CAST(NULL AS INTEGER) AS investigation_duration_ms,
       g.first_seen AS created_at,
       CASE WHEN g.state = 'resolved' THEN 1 ELSE 0 END AS resolved,
       (SELECT t.note FROM error_turns t WHERE t.group_id = g.group_id AND t.kind = 'resolved'
        ORDER BY t.seq DESC LIMIT 1) AS resolution_notes,
       g.seen AS occurrence_count,
       g.last_seen AS last_occurrence_at
FROM error_groups g
"""


def upgrade() -> None:
    _create_run_tables()
    _create_projects()
    _create_groups()
    _create_counts()
    _create_occurrences()
    _create_turns()
    op.create_table(
        "releases",
        sa.Column("project_id", sa.Integer, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("commit", sa.Text),
        sa.PrimaryKeyConstraint("project_id", "release", name="pk_releases"),
    )
    op.add_column("calls", sa.Column("error_hash", sa.Text))
    op.add_column("calls", sa.Column("error_counted", sa.Integer))
    op.execute("UPDATE calls SET error_counted = 1 WHERE outcome = 'lost'")
    op.create_index(
        "ix_calls_uncounted",
        "calls",
        ["run_id"],
        sqlite_where=sa.text(UNCOUNTED),
        postgresql_where=sa.text(UNCOUNTED),
    )
    op.execute(VIEW)


def _create_run_tables() -> None:
    op.create_table(
        "runs",
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("settings_digest", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heartbeat", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended", sa.DateTime(timezone=True)),
        sa.Column("fault_batch", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
    )
    op.create_index("ix_runs_started", "runs", ["started"])
    op.create_table(
        "call_spans",
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("spans", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["call_id"], ["calls.call_id"], ondelete="CASCADE", name="fk_call_spans_call_id"
        ),
        sa.PrimaryKeyConstraint("call_id", name="pk_call_spans"),
    )
    op.create_table(
        "samples",
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("mean", sa.Double, nullable=False),
        sa.Column("max", sa.Double, nullable=False),
        sa.Column("full", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("minute", "run_id", "name", name="pk_samples"),
    )


def _create_projects() -> None:
    op.create_table(
        "error_projects",
        sa.Column("project_id", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("trust", sa.Text, nullable=False),
        sa.Column("dsn_key_sha256", sa.Text),
        sa.Column("repository", sa.Text),
        sa.Column("path_prefix", sa.Text),
        sa.Column("packages", sa.Text),
        sa.Column("investigate", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("project_id", name="pk_error_projects"),
    )
    op.create_index("ix_error_projects_name", "error_projects", ["name"], unique=True)
    op.execute(
        "INSERT INTO error_projects (name, trust, packages, investigate) "
        "VALUES ('exai', 'own', '[\"exai\"]', 'auto')"
    )


def _create_groups() -> None:
    op.create_table(
        "error_groups",
        sa.Column("group_id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("project_id", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("title", "kind", "culprit")),
        sa.Column("code", sa.Text),
        sa.Column("fixable_by", sa.Text),
        sa.Column("own_doing", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("seen", "handled", "stored", "lost")),
        sa.Column("callers", sa.Integer, nullable=False),
        *(
            sa.Column(name, sa.DateTime(timezone=True), nullable=False)
            for name in ("first_seen", "last_seen")
        ),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("first_release", "last_release")),
        sa.Column("resolved_at", sa.DateTime(timezone=True)),
        sa.Column("resolved_in", sa.Text),
        sa.Column("archived_until", sa.DateTime(timezone=True)),
        sa.Column("archived_count", sa.BigInteger),
        sa.Column("archived_rate", sa.Integer),
        sa.PrimaryKeyConstraint("group_id", name="pk_error_groups"),
    )
    op.create_index("ix_error_groups_number", "error_groups", ["number"], unique=True)
    op.create_index("ix_error_groups_state_last_seen", "error_groups", ["state", "last_seen"])


def _create_counts() -> None:
    op.create_table(
        "error_fingerprints",
        sa.Column("project_id", sa.Integer, nullable=False),
        sa.Column("rule", sa.Integer, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("group_id", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("seen", "handled", "stored", "lost")),
        _of_group("error_fingerprints"),
        sa.PrimaryKeyConstraint("project_id", "rule", "hash", name="pk_error_fingerprints"),
    )
    op.create_index("ix_error_fingerprints_group_id", "error_fingerprints", ["group_id"])
    op.create_table(
        "error_counts",
        sa.Column("group_id", sa.Text, nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("seen", "handled", "lost")),
        _of_group("error_counts"),
        sa.PrimaryKeyConstraint("group_id", "hour", "hash", "release", name="pk_error_counts"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "error_callers",
        sa.Column("group_id", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        _of_group("error_callers"),
        sa.PrimaryKeyConstraint("group_id", "subject", name="pk_error_callers"),
        sqlite_with_rowid=False,
    )


def _create_occurrences() -> None:
    op.create_table(
        "error_occurrences",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("occurrence_id", "group_id", "hash")),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("run_id", "call_id", "incident_id", "event_id")),
        sa.Column("keep", sa.Integer, nullable=False),
        sa.Column("noise", sa.Double, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        _of_group("error_occurrences"),
        sa.PrimaryKeyConstraint("occurrence_id", name="pk_error_occurrences"),
    )
    op.create_index("ix_error_occurrences_group_id_at", "error_occurrences", ["group_id", "at"])
    op.create_index("ix_error_occurrences_at", "error_occurrences", ["at"])
    op.create_index("ix_error_occurrences_event_id", "error_occurrences", ["event_id"])


def _create_turns() -> None:
    op.create_table(
        "error_turns",
        sa.Column("group_id", sa.Text, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("from_state", sa.Text),
        sa.Column("to_state", sa.Text),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        _of_group("error_turns"),
        sa.PrimaryKeyConstraint("group_id", "seq", name="pk_error_turns"),
    )


def _of_group(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["group_id"], ["error_groups.group_id"], ondelete="CASCADE", name=f"fk_{table}_group_id"
    )
