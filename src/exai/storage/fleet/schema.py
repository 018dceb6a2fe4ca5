"""The tables of replicas and of leases."""

from sqlalchemy import Column, Index, Integer, Table, Text

from exai.storage.column_types import StorableText, UtcDateTime
from exai.storage.metadata import metadata

__all__ = ["leases", "replicas"]

replicas = Table(
    "replicas",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("tag", Text),  # the last 8 hex digits of the run's id; null: a command, which serves nobody
    Column("address", StorableText),  # where others reach it; null: nowhere
    Column("release", StorableText, nullable=False),  # version, and commit where it is known
    Column("settings_digest", Text, nullable=False),  # of the effective settings without their secrets
    Column("host", StorableText, nullable=False),
    Column("state", Text, nullable=False),  # serving, draining or gone
    Column("began_at", UtcDateTime, nullable=False),
    Column("beat_at", UtcDateTime, nullable=False),  # of one that is gone: when it ended
    Column("samples", StorableText, nullable=False),  # JSON, numbers by name
    Column("fault_batch", Integer, nullable=False),  # the last batch of faults that this run has counted
    Index(None, "tag", unique=True),
    Index(None, "began_at"),
)
"""The lives of processes on this database. `storage.fleet.heartbeat` judges by them who is over."""

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),  # a run
    Column("until", UtcDateTime, nullable=False),
)
"""What one process does for all of them, and which one that is for now."""
