"""Calls, conversations and their exchanges.

Revision: 0001, the first.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("door", sa.Text, nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("tool", sa.Text, nullable=False),
        sa.Column("model_requested", sa.Text),
        sa.Column("model_used", sa.Text),
        sa.Column("provider", sa.Text),
        sa.Column("conversation_id", sa.Text),
        sa.Column("began_at", MOMENT, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("error_code", sa.Text),
        sa.Column("input_tokens", sa.Integer),
        sa.Column("cached_tokens", sa.Integer),
        sa.Column("output_tokens", sa.Integer),
        sa.Column("reasoning_tokens", sa.Integer),
        sa.Column("cost_usd", sa.Double),
        sa.Column("session_wait_ms", sa.Double),
        sa.Column("global_sem_wait_ms", sa.Double),
        sa.Column("provider_sem_wait_ms", sa.Double),
        sa.Column("connect_ms", sa.Double),
        sa.Column("first_token_ms", sa.Double),
        sa.Column("generation_ms", sa.Double),
        sa.Column("store_ms", sa.Double),
        sa.Column("processing_ms", sa.Double),
        sa.Column("latency_ms", sa.Double),
        sa.PrimaryKeyConstraint("call_id", name="pk_calls"),
    )
    op.create_index("ix_calls_began_at", "calls", ["began_at"])
    failed = sa.text("outcome != 'ok'")
    op.create_index(
        "ix_calls_failed", "calls", ["owner", "began_at"], sqlite_where=failed, postgresql_where=failed
    )
    unended = sa.text("outcome IS NULL")
    op.create_index("ix_calls_open", "calls", ["run_id"], sqlite_where=unended, postgresql_where=unended)
    op.create_table(
        "conversations",
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("exchanges", sa.Integer, nullable=False),
        sa.Column("last_model", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", name="pk_conversations"),
    )
    op.create_index("ix_conversations_owner_updated_at", "conversations", ["owner", "updated_at"])
    op.create_table(
        "exchanges",
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("reasoning", sa.Text),
        sa.PrimaryKeyConstraint("conversation_id", "number", name="pk_exchanges"),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.conversation_id"],
            name="fk_exchanges_conversation_id",
            ondelete="CASCADE",
        ),
    )
