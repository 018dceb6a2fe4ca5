"""What a tool reports of its answer: cost by item, models tried, how well the prompt was estimated.

Revision: 0015.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calls", sa.Column("report", sa.Text))
