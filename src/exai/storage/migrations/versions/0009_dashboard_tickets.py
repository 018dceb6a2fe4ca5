"""Tickets with which a browser signs in to the dashboard.

Revision: 0009.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "dashboard_tickets",
        sa.Column("ticket_sha256", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("token_id", sa.Text, nullable=False),
        sa.Column("issued_at", MOMENT, nullable=False),
        sa.Column("session_until", MOMENT, nullable=False),
        sa.Column("kid", sa.Text),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("ticket_sha256", name="pk_dashboard_tickets"),
    )
