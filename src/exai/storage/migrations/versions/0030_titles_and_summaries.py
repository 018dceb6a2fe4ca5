"""Titles of conversations, and the summary that stands for the oldest exchanges of one.

Revision: 0030.
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("conversations", sa.Column("title", sa.Text))
    op.add_column("conversations", sa.Column("summary_to", sa.Integer))
    op.add_column("conversations", sa.Column("summary_tokens", sa.BigInteger))
    op.add_column("conversations", sa.Column("summary", sa.Text))
