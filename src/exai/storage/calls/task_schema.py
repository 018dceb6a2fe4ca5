"""The table of tasks."""

from sqlalchemy import Column, Index, Table, Text

from exai.storage.column_types import StorableText, UtcDateTime
from exai.storage.metadata import metadata

__all__ = ["tasks"]

tasks = Table(
    "tasks",
    metadata,
    Column("task_id", StorableText, primary_key=True),
    Column("owner", StorableText, nullable=False),
    Column(
        "process", Text, nullable=False
    ),  # which works at it, or did last; `runs` knows whether it is over
    Column("tool", StorableText, nullable=False),
    Column("idempotency_key", StorableText, nullable=False),  # under which the call is made, and made again
    Column("status", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("message", StorableText, nullable=False),
    Column("arguments", StorableText),  # JSON; none once it has ended
    Column("result", StorableText),  # JSON: of the call, or the error with which it failed
    Index(None, "expires_at"),
)
"""Calls that their client does not wait for, one each."""
