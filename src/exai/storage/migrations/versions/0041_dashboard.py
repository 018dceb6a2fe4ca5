"""What a browser that signs in may do; and indexes by which pages find calls.

Revision: 0041.
"""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

HAS_ERROR = sa.text("error_code IS NOT NULL")


def upgrade() -> None:
    scopes = sa.Column("scopes", sa.Text(), nullable=False, server_default="dashboard")
    op.add_column("dashboard_tickets", scopes)
    op.drop_index("ix_calls_began_at", "calls")
    op.create_index("ix_calls_began_at_call_id", "calls", ["began_at", "call_id"])
    op.create_index("ix_calls_owner_began_at_call_id", "calls", ["owner", "began_at", "call_id"])
    op.create_index("ix_calls_conversation_id", "calls", ["conversation_id"])
    op.create_index(
        "ix_calls_error",
        "calls",
        ["error_code", "began_at", "call_id"],
        sqlite_where=HAS_ERROR,
        postgresql_where=HAS_ERROR,
    )
