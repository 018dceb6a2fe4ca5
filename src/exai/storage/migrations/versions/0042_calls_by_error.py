"""An index of failed calls by what they are grouped by, for what a group's calls cost.

Revision: 0042.
"""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

GROUPED = sa.text("error_hash IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "ix_calls_error_hash", "calls", ["error_hash"], sqlite_where=GROUPED, postgresql_where=GROUPED
    )
