"""Investigations of groups of faults, and their evidence.

Revision: 0037.
"""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

VIEW = """
CREATE VIEW error_investigations AS
SELECT g.number AS id,
       (SELECT min(f.hash) FROM error_fingerprints f WHERE f.group_id = g.group_id) AS error_hash,
       g.title AS error_message,
       coalesce(g.code, g.kind) AS error_type,
       g.culprit AS error_context,
       i.report AS investigation_result,
       i.fix AS fix_recommendation,
       i.models AS model_used,
       i.duration_ms AS investigation_duration_ms,
       g.first_seen AS created_at,
       CASE WHEN g.state = 'resolved' THEN 1 ELSE 0 END AS resolved,
       (SELECT t.note FROM error_turns t WHERE t.group_id = g.group_id AND t.kind = 'resolved'
        ORDER BY t.seq DESC LIMIT 1) AS resolution_notes,
       g.seen AS occurrence_count,
       g.last_seen AS last_occurrence_at
FROM error_groups g
LEFT JOIN investigations i ON i.investigation_id = (
    SELECT l.investigation_id FROM investigations l WHERE l.group_id = g.group_id AND l.state = 'done'
    ORDER BY l.ended_at DESC, l.investigation_id LIMIT 1)
"""


def upgrade() -> None:
    _create_investigations()
    _index_investigations()
    _create_evidence()
    op.execute("DROP VIEW error_investigations")
    op.execute(VIEW)


def _create_investigations() -> None:
    op.create_table(
        "investigations",
        sa.Column("investigation_id", sa.Text, nullable=False),
        sa.Column("group_id", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("taken_up", sa.Integer, nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.Text),
        sa.Column("began_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("seen", sa.BigInteger, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("tokens", sa.Integer, nullable=False),
        sa.Column("cost_usd", sa.Double),
        sa.Column("duration_ms", sa.Integer),
        sa.Column("models", sa.Text, nullable=False),
        sa.Column("level", sa.Text),
        sa.Column("fix", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("report", sa.Text),
        sa.PrimaryKeyConstraint("investigation_id", name="pk_investigations"),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["error_groups.group_id"],
            name="fk_investigations_group_id_error_groups",
            ondelete="CASCADE",
        ),
    )


def _index_investigations() -> None:
    op.create_index("ix_investigations_group_id_asked_at", "investigations", ["group_id", "asked_at"])
    op.create_index(
        "ix_investigations_unfinished",
        "investigations",
        ["group_id"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def _create_evidence() -> None:
    op.create_table(
        "evidence",
        sa.Column("investigation_id", sa.Text, nullable=False),
        sa.Column("evidence_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("provenance", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("investigation_id", "evidence_id", name="pk_evidence"),
        sa.ForeignKeyConstraint(
            ["investigation_id"],
            ["investigations.investigation_id"],
            name="fk_evidence_investigation_id_investigations",
            ondelete="CASCADE",
        ),
    )
