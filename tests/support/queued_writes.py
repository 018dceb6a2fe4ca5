"""Waits for the writes that `Database.write_soon` has queued."""

from sqlalchemy import Connection

from exai.storage.database import Database
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["commit_queued"]


@row_by_row(LockGroup.CLEANING)
def _nothing(_connection: Connection, _parameters: None) -> None:
    """Write nothing."""


async def commit_queued(database: Database) -> None:
    """Return once everything that was queued before is committed."""
    await database.write(_nothing, None)
