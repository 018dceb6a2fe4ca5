"""Of which content a copy at a provider was made.

Revision: 0025.
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

COPIES = "provider_file_uploads"


def upgrade() -> None:
    op.add_column(COPIES, sa.Column("origin_sha256", sa.Text))
    op.create_index(f"ix_{COPIES}_owner_origin_sha256", COPIES, ["owner", "origin_sha256"])
