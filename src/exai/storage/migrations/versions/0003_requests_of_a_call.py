"""What a call took: its requests, the waits between them, and why another model answered.

Revision: 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calls", sa.Column("model_reason", sa.Text))
    op.add_column("calls", sa.Column("requests", sa.Integer))
    op.add_column("calls", sa.Column("failed_requests_ms", sa.Double))
    op.add_column("calls", sa.Column("backoff_ms", sa.Double))
