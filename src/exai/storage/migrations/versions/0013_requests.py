"""A row per request that a call makes. Calls that ended before get one each, of the model that they ended with.

Revision: 0013.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

STAGES = (
    "provider_sem_wait_ms",
    "failed_requests_ms",
    "backoff_ms",
    "connect_ms",
    "first_token_ms",
    "generation_ms",
)

FILL = """
    INSERT INTO requests (
        call_id, number, purpose, provider, model, attempts, outcome, input_tokens, cached_tokens, output_tokens,
        reasoning_tokens, cost_usd, provider_sem_wait_ms, failed_requests_ms, backoff_ms, connect_ms, first_token_ms,
        generation_ms, began_at, ended_at
    )
    SELECT
        call_id, 1,
        CASE tool WHEN 'search' THEN 'web-search' ELSE 'chat' END,
        provider,
        CASE tool WHEN 'search' THEN 'web-search' ELSE model_used END,
        CASE tool WHEN 'search' THEN 1 ELSE coalesce(requests, 1) END,
        CASE outcome WHEN 'ok' THEN 'ok' ELSE coalesce(error_code, outcome) END,
        input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_usd, provider_sem_wait_ms,
        failed_requests_ms, backoff_ms, connect_ms, first_token_ms, generation_ms, began_at, began_at
    FROM calls
    WHERE outcome IS NOT NULL AND provider IS NOT NULL AND (tool = 'search' OR model_used IS NOT NULL)
"""

END = {
    "postgresql": """
        UPDATE requests SET ended_at = requests.began_at
            + (SELECT coalesce(calls.latency_ms, 0) FROM calls WHERE calls.call_id = requests.call_id)
            * interval '1 millisecond'
    """,
    "sqlite": """
        UPDATE requests SET ended_at = strftime(
            '%Y-%m-%d %H:%M:%f000', began_at,
            (SELECT coalesce(calls.latency_ms, 0) / 1000 FROM calls WHERE calls.call_id = requests.call_id)
                || ' seconds'
        )
    """,
}
"""An end is the begin and the latency of the call, which each database adds up in its own way."""


def upgrade() -> None:
    create()
    fill()


def create() -> None:
    op.create_table(
        "requests",
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("input_tokens", sa.Integer),
        sa.Column("cached_tokens", sa.Integer),
        sa.Column("cache_write_tokens", sa.Integer),
        sa.Column("output_tokens", sa.Integer),
        sa.Column("reasoning_tokens", sa.Integer),
        sa.Column("cost_usd", sa.Double),
        *(sa.Column(name, sa.Double) for name in STAGES),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("call_id", "number", name="pk_requests"),
        sa.ForeignKeyConstraint(
            ["call_id"], ["calls.call_id"], name="fk_requests_call_id", ondelete="CASCADE"
        ),
        sqlite_with_rowid=False,
    )


def fill() -> None:
    op.execute(FILL)
    op.execute(END[op.get_bind().dialect.name])
