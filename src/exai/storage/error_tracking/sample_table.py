"""The rows of samples: how busy each process was, minute by minute."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from exai.storage.database import Database
from exai.storage.dialects import upsert
from exai.storage.error_tracking.schema import samples
from exai.storage.write_operations import LockGroup, all_at_once

__all__ = ["SampleRow", "SampleTable", "SampledLoad"]


READ_WITHIN = timedelta(seconds=2)


class SampleRow(msgspec.Struct, frozen=True):
    """What one minute of a process had of a value."""

    minute: datetime
    name: str
    mean: float
    max: float
    full: float
    """Share of its seconds in which the limit was reached."""


class SampledLoad(msgspec.Struct, frozen=True):
    """What a period had of a value."""

    name: str
    mean: float
    max: float
    full_minutes: float
    """In which the limit was reached, added up."""


class SampleTable:
    """Keeps what this process samples, and reads the samples of all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep_soon(self, rows: Sequence[SampleRow]) -> None:
        """Queue the samples of a minute; those of the same minute are replaced."""
        run_id = self._database.run_id
        self._database.write_soon(_keep, [msgspec.structs.asdict(row) | {"run_id": run_id} for row in rows])

    async def at(self, run_id: str, moment: datetime) -> list[SampleRow]:
        """Read the samples of a process in the minute of a moment; at its end those of the next one too.

        What a moment suffered from is read within a second after it.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = samples.c
        query = select(row.minute, row.name, row.mean, row.max, row.full).where(
            row.run_id == run_id,
            row.minute.in_(
                {each.replace(second=0, microsecond=0) for each in (moment, moment + READ_WITHIN)}
            ),
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [SampleRow(*each) for each in rows]

    async def between(self, began: datetime, ended: datetime) -> list[SampledLoad]:
        """Sum up the samples of a period by name.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = samples.c
        query = (
            select(row.name, func.avg(row.mean), func.max(row.max), func.sum(row.full))
            .where(row.minute >= began, row.minute < ended)
            .group_by(row.name)
            .order_by(row.name)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [SampledLoad(*each) for each in rows]

    async def highest(self, name: str, began: datetime, ended: datetime, most: int) -> list[SampleRow]:
        """Read the minutes of a period in which a value was highest.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = samples.c
        query = (
            select(row.minute, row.name, row.mean, row.max, row.full)
            .where(row.name == name, row.minute >= began, row.minute < ended)
            .order_by(row.max.desc(), row.minute)
            .limit(most)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [SampleRow(*each) for each in rows]


_UPSERT = upsert(samples, ("mean", "max", "full"))


@all_at_once(LockGroup.ERRORS)
def _keep(connection: Connection, many: list[list[dict[str, Any]]]) -> None:
    for rows in many:
        _UPSERT.execute(connection, rows)
