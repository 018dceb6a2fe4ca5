"""Which requests a demonstration's emulator answered, and how many of a call's.

Rows of before have no mark: demonstrations wrote into the ordinary database then, and nothing in a row tells.

Revision: 0017.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("requests", sa.Column("emulated", sa.Integer, nullable=False, server_default="0"))
    op.add_column("calls", sa.Column("emulated", sa.Integer))
