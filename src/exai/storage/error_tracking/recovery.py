"""Finds failed calls that are in no counts: those whose process died between the end of the call and its count.

A call that no process ended is one too: its row was marked as lost. A row is marked as counted in the transaction that
counts it, so two processes that look at once count it once.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, select, text, update

from exai.storage.database import Database
from exai.storage.error_tracking.counting import count_tallies
from exai.storage.error_tracking.rows import FaultBatch, Turn
from exai.storage.fleet.schema import replicas
from exai.storage.notices.writing import NOBODY, Targets
from exai.storage.schema import UNCOUNTED, calls
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["UncountedCall", "UncountedCalls"]

AT_ONCE = 500


class UncountedCall(msgspec.Struct, frozen=True):
    """A failed call that no group has counted."""

    call_id: str
    run_id: str
    owner: str
    door: str
    client: str
    tool: str
    model: str | None
    provider: str | None
    outcome: str
    error_code: str | None
    error_hash: str | None
    began_at: datetime
    latency_ms: float | None
    release: str | None
    """Of the run that it belonged to."""

    @property
    def ended_at(self) -> datetime:
        """When it failed, as far as that is known."""
        return self.began_at + timedelta(milliseconds=self.latency_ms or 0)


class UncountedCalls:
    """Has the failed calls of runs that are over counted."""

    def __init__(self, database: Database, targets: Targets = NOBODY) -> None:
        self._database = database
        self._targets = targets

    async def recover(self, as_batch: Callable[[Sequence[UncountedCall]], FaultBatch]) -> list[Turn]:
        """Count what is missing, as `as_batch` makes tallies of it; return the turns.

        Raises:
            StoreFailed: the database is out of reach; what is missing still is.
        """
        turns: list[Turn] = []
        open_runs = select(calls.c.run_id).where(text(UNCOUNTED)).distinct()
        for run_id in await self._database.read(lambda connection: connection.scalars(open_runs).all()):
            if not await self._database.is_over(run_id):
                continue
            while True:
                number, turned = await self._database.write(_recover, (run_id, as_batch, self._targets))
                turns += turned
                if number < AT_ONCE:
                    break
        return turns


@row_by_row(LockGroup.ERRORS)
def _recover(
    connection: Connection, parameters: tuple[str, Callable[[Sequence[UncountedCall]], FaultBatch], Targets]
) -> tuple[int, list[Turn]]:
    run_id, as_batch, targets = parameters
    some = select(calls.c.call_id).where(calls.c.run_id == run_id, text(UNCOUNTED)).limit(AT_ONCE)
    taken = connection.scalars(
        update(calls)
        .where(calls.c.call_id.in_(some), calls.c.error_counted.is_(None))
        .values(error_counted=1)
        .returning(calls.c.call_id)
    ).all()
    if not taken:
        return 0, []
    row = calls.c
    query = (
        select(
            row.call_id,
            row.run_id,
            row.owner,
            row.door,
            row.client,
            row.tool,
            row.model_used,
            row.provider,
            row.outcome,
            row.error_code,
            row.error_hash,
            row.began_at,
            row.latency_ms,
            replicas.c.release,
        )
        .outerjoin(replicas, replicas.c.run_id == row.run_id)
        .where(row.call_id.in_(taken))
        .order_by(row.began_at)
    )
    found = [UncountedCall(*tuple(each)) for each in connection.execute(query)]
    return len(taken), count_tallies(connection, run_id, as_batch(found), targets)
