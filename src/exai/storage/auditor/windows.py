"""Rows of windows: the numbers of each hour, and those that observations name."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from sqlalchemy import Connection, delete, select

from exai.runtime.clock import Clock
from exai.storage.auditor.schema import auditor_observations, auditor_windows
from exai.storage.database import Database
from exai.storage.dialects import upsert
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["HOUR_S", "KEEP", "KEEP_HOURS", "KeptWindow", "Windows"]

HOUR_S = 3_600
KEEP = timedelta(days=7)
"""How long a window is kept that an observation names."""
KEEP_HOURS = timedelta(days=29)
"""How long an hour is kept: four weeks, so that an hour of the week can be compared with its like."""


class KeptWindow(msgspec.Struct, frozen=True):
    """A window that is kept."""

    begun: float
    """Seconds since 1970 UTC."""
    seconds: int
    body: str
    """JSON."""


class Windows:
    """Keeps the windows of this process, and reads the hours of all."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def keep_soon(self, window: KeptWindow) -> None:
        """Queue a window; kept twice, it is kept once."""
        self._database.write_soon(_keep, (self._database.run_id, window))

    async def hours(self) -> Sequence[KeptWindow]:
        """Return the hours of all processes, the oldest first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = (
            select(_row.begun_at, _row.seconds, _row.body)
            .where(_row.seconds == HOUR_S)
            .order_by(_row.begun_at, _row.run_id)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [KeptWindow(at.timestamp(), seconds, body) for at, seconds, body in rows]

    async def prune(self) -> int:
        """Delete windows and observations that are past their age; return how many.

        Raises:
            StoreFailed: they are still there.
        """
        return await self._database.write(_prune, self._clock.utc())


_row = auditor_windows.c
_PUT = upsert(auditor_windows, ["body"])


@row_by_row(LockGroup.AUDITOR)
def _keep(connection: Connection, kept: tuple[str, KeptWindow]) -> None:
    run_id, window = kept
    begun_at = datetime.fromtimestamp(window.begun, UTC)
    row = {"run_id": run_id, "begun_at": begun_at, "seconds": window.seconds, "body": window.body}
    _PUT.execute(connection, row)


@row_by_row(LockGroup.AUDITOR)
def _prune(connection: Connection, now: datetime) -> int:
    seen = auditor_observations.c
    statements = (
        delete(auditor_windows).where(_row.seconds < HOUR_S, _row.begun_at < now - KEEP),
        delete(auditor_windows).where(_row.begun_at < now - KEEP_HOURS),
        delete(auditor_observations).where(seen.state == "gone", seen.last_at < now - KEEP_HOURS),
    )
    return sum(connection.execute(statement).rowcount for statement in statements)
