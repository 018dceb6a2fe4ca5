"""Rows of rollups: each hour is replaced as a whole, so whoever makes it, and however often, leaves the same."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, select

from exai.runtime.clock import Clock
from exai.storage.baselines.schema import call_rollups, rollup_hours
from exai.storage.database import Database
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["HOUR", "KEPT", "RollupRow", "RollupTable"]

HOUR = timedelta(hours=1)
KEPT = timedelta(days=400)


class RollupRow(msgspec.Struct, frozen=True):
    """What the calls of one tool, provider and model of an hour add up to."""

    hour: datetime
    tool: str
    provider: str
    model: str
    calls: int
    outcomes: str
    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost_usd: float
    without_price: int
    emulated: int
    stages: str
    """JSON: of each stage a sum, and a histogram of `monitoring.statistics`."""


class _Hour(msgspec.Struct, frozen=True):
    hour: datetime
    open: int
    made_at: datetime
    rows: Sequence[RollupRow]


class RollupTable:
    """Keeps and reads rollups."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def replace(self, hour: datetime, rows: Sequence[RollupRow], *, still_open: int) -> None:
        """Put the rows of an hour in place of those that are there.

        Args:
            hour: its begin.
            rows: all of it.
            still_open: how many of its calls have no end.

        Raises:
            StoreFailed: the former ones are still there.
        """
        await self._database.write(_replace, _Hour(hour, still_open, self._clock.utc(), rows))

    async def made(self) -> tuple[datetime | None, Sequence[datetime]]:
        """Return the latest hour that was made, and those to be made again since calls had no end then.

        Raises:
            StoreFailed: the database is out of reach.
        """
        latest = select(func.max(rollup_hours.c.hour))
        again = select(rollup_hours.c.hour).where(rollup_hours.c.open > 0).order_by(rollup_hours.c.hour)

        def read(connection: Connection) -> tuple[datetime | None, Sequence[datetime]]:
            return connection.scalar(latest), connection.scalars(again).all()

        return await self._database.read(read)

    async def between(self, began: datetime, ended: datetime) -> Sequence[RollupRow]:
        """Read the rows of the hours from one moment up to another.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = (
            select(*(call_rollups.c[name] for name in RollupRow.__struct_fields__))
            .where(call_rollups.c.hour >= began, call_rollups.c.hour < ended)
            .order_by(call_rollups.c.hour, call_rollups.c.tool, call_rollups.c.provider, call_rollups.c.model)
        )
        return await self._database.read(
            lambda connection: [RollupRow(*row) for row in connection.execute(query)]
        )

    async def prune(self) -> int:
        """Delete what is older than 400 days; return how many hours.

        Raises:
            StoreFailed: they are still there.
        """
        return await self._database.write(_prune, self._clock.utc() - KEPT)


@row_by_row(LockGroup.BASELINES)
def _replace(connection: Connection, made: _Hour) -> None:
    connection.execute(delete(call_rollups).where(call_rollups.c.hour == made.hour))
    connection.execute(delete(rollup_hours).where(rollup_hours.c.hour == made.hour))
    if made.rows:
        rows: list[dict[str, Any]] = [msgspec.structs.asdict(row) for row in made.rows]
        connection.execute(insert(call_rollups), rows)
    total = sum(row.calls for row in made.rows)
    connection.execute(
        insert(rollup_hours).values(hour=made.hour, calls=total, open=made.open, made_at=made.made_at)
    )


@row_by_row(LockGroup.BASELINES)
def _prune(connection: Connection, moment: datetime) -> int:
    connection.execute(delete(call_rollups).where(call_rollups.c.hour < moment))
    return connection.execute(delete(rollup_hours).where(rollup_hours.c.hour < moment)).rowcount
