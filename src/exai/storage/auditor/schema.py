"""The tables of the auditor."""

from sqlalchemy import Column, Index, Integer, Table, Text

from exai.storage.column_types import StorableText, UtcDateTime
from exai.storage.metadata import metadata

__all__ = ["auditor_observations", "auditor_windows"]

auditor_observations = Table(
    "auditor_observations",
    metadata,
    Column("observation_id", Text, primary_key=True),
    Column("detector", Text, nullable=False),
    Column("subject", StorableText, nullable=False),
    Column("severity", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("state", Text, nullable=False),  # `open`, `acknowledged` or `gone`
    Column("verdict", Text),  # `useful` or `noise`, as a person judged it
    Column("count", Integer, nullable=False),  # of windows in which it was seen
    Column("first_at", UtcDateTime, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    Column("judged_at", UtcDateTime),
    Column("numbers", StorableText, nullable=False),  # JSON: of the latest window in which it was seen
    Column("recommendation", Text, nullable=False),
    Column("windows", Text, nullable=False),  # JSON: when the first windows began, seconds since 1970 UTC
    Column("explanation", StorableText),  # what a model wrote about its numbers
    Index(None, "detector", "subject"),
    Index(None, "last_at"),
)
"""What detectors saw; one row per detector and subject while it lasts."""

auditor_windows = Table(
    "auditor_windows",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("begun_at", UtcDateTime, primary_key=True),
    Column("seconds", Integer, primary_key=True, autoincrement=False),
    Column("body", StorableText, nullable=False),  # JSON
    Index(None, "begun_at"),
)
"""ModelCounts of hours, and of the shorter windows that an observation names."""
