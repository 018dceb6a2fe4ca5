"""Deletes what is too old or too much: the noisiest occurrences first, and hours and runs by their age."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, literal_column, select

from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.storage.error_tracking.schema import call_spans, error_counts, error_occurrences, samples
from exai.storage.fleet.schema import replicas
from exai.storage.schema import calls
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["FaultRetention"]

MOST_OF_GROUP = 100
MOST_IN_ALL = 50_000
KEPT_HOURS_DAYS = 400
KEPT_SPANS_DAYS = 14
KEPT_SAMPLES_DAYS = 7


class FaultRetention:
    """Prunes the tables of faults. Groups stay, with what they were seen in all."""

    def __init__(self, database: Database, clock: Clock, keep_days: int) -> None:
        """`keep_days` is how long occurrences are kept."""
        self._database = database
        self._clock = clock
        self._keep_days = keep_days

    async def prune(self) -> int:
        """Delete what is past its age, and occurrences beyond their number; return how many occurrences.

        Raises:
            StoreFailed: they are still there.
        """
        now = self._clock.utc()
        return await self._database.write(_prune, (now, now - timedelta(days=self._keep_days)))


@row_by_row(LockGroup.ERRORS)
def _prune(connection: Connection, moments: tuple[datetime, datetime]) -> int:
    now, oldest = moments
    row = error_occurrences.c
    gone = connection.execute(delete(error_occurrences).where(row.at < oldest, row.keep == 0)).rowcount
    for most, within in ((MOST_OF_GROUP, row.group_id), (MOST_IN_ALL, literal_column("1"))):
        place = (
            func.row_number()
            .over(partition_by=within, order_by=(row.keep.desc(), row.noise, row.at.desc()))
            .label("place")
        )
        ranked = select(row.occurrence_id, place).subquery()
        too_many = select(ranked.c.occurrence_id).where(ranked.c.place > most)
        gone += connection.execute(
            delete(error_occurrences).where(row.occurrence_id.in_(too_many), row.keep == 0)
        ).rowcount
    old_calls = select(calls.c.call_id).where(calls.c.began_at < now - timedelta(days=KEPT_SPANS_DAYS))
    connection.execute(delete(call_spans).where(call_spans.c.call_id.in_(old_calls)))
    connection.execute(delete(samples).where(samples.c.minute < now - timedelta(days=KEPT_SAMPLES_DAYS)))
    long_ago = now - timedelta(days=KEPT_HOURS_DAYS)
    connection.execute(delete(error_counts).where(error_counts.c.hour < long_ago))
    connection.execute(delete(replicas).where(replicas.c.beat_at < long_ago))
    return gone
