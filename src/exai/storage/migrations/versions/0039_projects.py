"""Columns of projects that nothing reads: which packages are a project's, and whether it is investigated.

Revision: 0039.
"""

from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("packages", "investigate"):
        op.drop_column("error_projects", name)
