"""The tables of what callers used: what guards count, what purses granted, and which names calls had."""

from sqlalchemy import Column, Double, Index, Integer, Table, Text

from exai.storage.column_types import StorableText, UtcDateTime
from exai.storage.metadata import metadata

__all__ = ["budget_grants", "guarded_calls", "use_counts"]

guarded_calls = Table(
    "guarded_calls",
    metadata,
    Column("call_id", Text, primary_key=True),
    Column("owner", StorableText, nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("usd", Double, nullable=False),  # reserved until the call ends, then what it cost
    Column("model_s", Double, nullable=False),  # the same in seconds of models
    Index(None, "owner", "began_at"),
)
"""Calls of the last hours, as far as guards are set."""

budget_grants = Table(
    "budget_grants",
    metadata,
    Column("purse", Text, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),  # seconds since 1970 UTC, since a statement computes with them
    Column("reserved_usd", Double, nullable=False),
    Column("settled_usd", Double),  # null: nobody knows what it cost, and what was reserved counts
    Column("call_id", Text, nullable=False),
    Index(None, "purse", "at"),
    Index(None, "call_id"),
)
"""Requests to providers that were granted before they were sent."""

use_counts = Table(
    "use_counts",
    metadata,
    Column("day", Text, primary_key=True),  # of UTC, as 2026-11-29
    Column("owner", StorableText, primary_key=True),
    Column("kind", Text, primary_key=True),  # of the name, see `storage.calls.use`
    Column("tool", Text, primary_key=True),
    Column("name", StorableText, primary_key=True),
    Column("calls", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("cost_usd", Double, nullable=False),  # of all parts with a known price
)
"""Under which names tools were called, by day; never a value of an argument."""
