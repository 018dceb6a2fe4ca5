"""What the cost of a request lacks: attempts whose usage was not told, services, parts without a price.

Calls get the tokens that were written to a cache, and the number of their requests whose cost lacks something.

Revision: 0014.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

FILL_REQUESTS = """
    UPDATE requests SET without_price = 1
    WHERE cost_usd IS NULL AND (input_tokens IS NOT NULL OR output_tokens IS NOT NULL)
"""

FILL_CALLS = """
    UPDATE calls SET
        cache_write_tokens = (
            SELECT sum(requests.cache_write_tokens) FROM requests WHERE requests.call_id = calls.call_id
        ),
        without_price = (
            SELECT sum(requests.without_price) FROM requests WHERE requests.call_id = calls.call_id
        )
    WHERE outcome IS NOT NULL
"""


def upgrade() -> None:
    op.add_column("requests", sa.Column("unreported", sa.Integer, nullable=False, server_default="0"))
    op.add_column("requests", sa.Column("services", sa.Text))
    op.add_column("requests", sa.Column("without_price", sa.Integer, nullable=False, server_default="0"))
    op.add_column("calls", sa.Column("cache_write_tokens", sa.Integer))
    op.add_column("calls", sa.Column("without_price", sa.Integer))
    op.execute(FILL_REQUESTS)
    op.execute(FILL_CALLS)
