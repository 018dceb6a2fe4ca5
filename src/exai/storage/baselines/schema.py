"""The tables of rollups and of baselines."""

from sqlalchemy import Column, Double, ForeignKey, Index, Integer, Table, Text

from exai.storage.column_types import StorableText, UtcDateTime
from exai.storage.metadata import metadata

__all__ = ["baseline_reports", "baseline_runs", "call_rollups", "rollup_hours"]

call_rollups = Table(
    "call_rollups",
    metadata,
    Column("hour", UtcDateTime, primary_key=True),
    Column("tool", Text, primary_key=True),
    Column("provider", Text, primary_key=True),  # empty: none was asked
    Column("model", StorableText, primary_key=True),  # the one that was used, else the one that was asked for
    Column("calls", Integer, nullable=False),
    Column("outcomes", Text, nullable=False),  # JSON: calls by outcome
    Column("requests", Integer, nullable=False),
    Column("input_tokens", Integer, nullable=False),
    Column("cached_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("cost_usd", Double, nullable=False),  # of all parts with a known price
    Column("without_price", Integer, nullable=False),
    Column("emulated", Integer, nullable=False),
    Column(
        "stages", Text, nullable=False
    ),  # JSON: of each stage a sum and a histogram, of calls that ended well
    sqlite_with_rowid=False,
)
"""What an hour of the journal adds up to. It can be made again as long as the journal has the hour's calls."""

rollup_hours = Table(
    "rollup_hours",
    metadata,
    Column("hour", UtcDateTime, primary_key=True),
    Column("calls", Integer, nullable=False),  # in the rollups of the hour
    Column("open", Integer, nullable=False),  # which had no end then: with any, the hour is made again
    Column("made_at", UtcDateTime, nullable=False),
    Index(None, "open"),
)
"""Which hours have been added up, also those without a call."""

baseline_runs = Table(
    "baseline_runs",
    metadata,
    Column("name", StorableText, primary_key=True),
    Column("state", Text, nullable=False),  # see `storage.baselines.runs`
    Column("began_at", UtcDateTime, nullable=False),
    Column("planned_end", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("filter", StorableText, nullable=False),  # as `tool=chat`; empty: every call
    Column("note", StorableText, nullable=False),
    Column("release", StorableText, nullable=False),
    Column("settings_digest", Text, nullable=False),
    Column("speed", Double, nullable=False),  # of the clock; above 1: a compressed run against the emulator
    Column("load", StorableText),  # JSON: what was sent on purpose; null: what others sent
    Index(None, "state"),
)

baseline_reports = Table(
    "baseline_reports",
    metadata,
    Column("name", StorableText, ForeignKey("baseline_runs.name", ondelete="CASCADE"), primary_key=True),
    Column("made_at", UtcDateTime, nullable=False),
    Column("body", Text, nullable=False),  # JSON
)
"""What baselines showed: it outlives the calls, which are pruned."""
