"""The calls that went well around a fault, to compare those with that failed."""

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import func, select

from exai.storage.database import Database
from exai.storage.error_tracking.counting import hour_of
from exai.storage.fleet.schema import replicas
from exai.storage.schema import calls

__all__ = ["Comparison", "GoodCalls"]


class _Kind(msgspec.Struct, frozen=True):
    tool: str
    provider: str | None
    model: str | None
    door: str
    client: str
    release: str | None
    number: int


class GoodCalls(msgspec.Struct, frozen=True):
    """Calls that went well, counted by what they have in common."""

    kinds: tuple[_Kind, ...] = ()

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(kind.number for kind in self.kinds)

    def number(self, **values: str) -> int:
        """Count those that have these values."""
        return sum(
            kind.number
            for kind in self.kinds
            if all(getattr(kind, name) == value for name, value in values.items())
        )

    def share(self, what: str, value: str) -> float | None:
        """Return the share of those that have a value; `None` where there are none."""
        return self.number(**{what: value}) / self.total if self.kinds else None


class Comparison:
    """Reads them from the journal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def around(self, moment: datetime) -> GoodCalls:
        """Read the calls that went well in the hour of a moment, and in the one before.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row, hour = calls.c, hour_of(moment)
        alike = (row.tool, row.provider, row.model_used, row.door, row.client, replicas.c.release)
        query = (
            select(*alike, func.count())
            .outerjoin(replicas, replicas.c.run_id == row.run_id)
            .where(
                row.outcome == "ok",
                row.began_at >= hour - timedelta(hours=1),
                row.began_at < hour + timedelta(hours=1),
            )
            .group_by(*alike)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return GoodCalls(tuple(_Kind(*tuple(each)) for each in rows))
