"""The tables of workflows."""

from sqlalchemy import Column, ForeignKey, Index, Integer, Table, Text

from exai.storage.column_types import StorableText, UtcDateTime
from exai.storage.metadata import metadata

__all__ = ["plan_items", "plans"]

plans = Table(
    "plans",
    metadata,
    Column("plan_id", Text, primary_key=True),
    Column("owner", StorableText, nullable=False),
    Column("goal", StorableText, nullable=False),
    Column("revision", Integer, nullable=False),  # raised by each change of the plan or its items
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(None, "owner", "updated_at"),
)

plan_items = Table(
    "plan_items",
    metadata,
    Column("plan_id", Text, ForeignKey("plans.plan_id", ondelete="CASCADE"), primary_key=True),
    Column("item", Integer, primary_key=True),  # from 1, in the order in which they were added
    Column("parent", Integer),  # an item of the same plan
    Column("title", StorableText, nullable=False),
    Column("state", Text, nullable=False),
    Column("accept", StorableText, nullable=False),  # how one sees that it is done
    Column("note", StorableText, nullable=False),
    Column("step", Integer),  # of a plan that an agent makes by itself: which of its steps it is
    Column("branch", StorableText),  # the same: of which branch
)
