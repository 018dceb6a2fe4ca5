"""The table of what is told to others."""

from sqlalchemy import Column, Index, Integer, Table, Text

from exai.storage.column_types import StorableText, UtcDateTime
from exai.storage.metadata import metadata

__all__ = ["deliveries"]

deliveries = Table(
    "deliveries",
    metadata,
    Column("delivery_id", Text, primary_key=True),  # what receivers know it by: `webhook-id`
    Column("at", UtcDateTime, nullable=False),  # of the change that it tells
    Column("kind", Text, nullable=False),  # or `digest`
    Column("about", StorableText, nullable=False),  # the group, purse or model; never sent
    Column("target", Text, nullable=False),  # digest of the address
    Column("body", StorableText, nullable=False),  # JSON: id, title, counts
    Column("state", Text, nullable=False),
    Column("passed_at", UtcDateTime),  # when it was let through, which an hour has room for
    Column("attempts", Integer, nullable=False),
    Column("next_at", UtcDateTime),  # not sooner is it tried again
    Column("ended_at", UtcDateTime),
    Column("failure", StorableText),  # of the latest attempt, in our words
    Column("digest_id", Text),  # of the digest that it became part of
    Index(None, "state", "at"),
    Index(None, "target", "passed_at"),
)
