"""How busy processes were and how models did at an earlier time, from the store."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import func, select

from exai.storage.database import Database
from exai.storage.error_tracking.schema import samples
from exai.storage.schema import calls, requests

__all__ = ["History", "MinuteOfSeries", "RequestsOfModel"]

MOST_POINTS = 20_000
MOST_REQUESTS = 20_000


class MinuteOfSeries(msgspec.Struct, frozen=True):
    """What a value was in a minute, over all processes: their means added up, and the greatest."""

    name: str
    minute: datetime
    mean: float
    highest: float
    full: float
    """The greatest share of its seconds in which the limit was reached."""


class RequestsOfModel(msgspec.Struct, frozen=True):
    """The end of one request to a model."""

    provider: str
    model: str
    outcome: str
    attempts: int
    milliseconds: float


class History:
    """Reads it; each raises `StoreFailed` or `QueryTooSlow`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def series(
        self, names: Sequence[str] | None, since: datetime, until: datetime
    ) -> list[MinuteOfSeries]:
        """Read minutes of values, the oldest first; without names of all."""
        row = samples.c
        query = (
            select(row.name, row.minute, func.sum(row.mean), func.max(row.max), func.max(row.full))
            .where(row.minute >= since, row.minute <= until)
            .group_by(row.name, row.minute)
            .order_by(row.minute, row.name)
            .limit(MOST_POINTS)
        )
        if names is not None:
            query = query.where(row.name.in_(names))
        rows = await self._database.view(lambda connection: connection.execute(query).all())
        return [MinuteOfSeries(*each) for each in rows]

    async def names(self, since: datetime, until: datetime) -> list[str]:
        """Read which values there are."""
        row = samples.c
        query = select(row.name).where(row.minute >= since, row.minute <= until).distinct().order_by(row.name)
        return list(await self._database.view(lambda connection: connection.scalars(query).all()))

    async def requests(self, until: datetime, within: timedelta) -> list[RequestsOfModel]:
        """Read the latest requests of calls that began within so long before a moment."""
        row = requests.c
        query = (
            select(row.provider, row.model, row.outcome, row.attempts, row.began_at, row.ended_at)
            .join_from(calls, requests, calls.c.call_id == row.call_id)
            .where(calls.c.began_at > until - within, calls.c.began_at <= until)
            .order_by(calls.c.began_at.desc())
            .limit(MOST_REQUESTS)
        )
        rows = await self._database.view(lambda connection: connection.execute(query).all())
        return [RequestsOfModel(*each[:4], (each[5] - each[4]).total_seconds() * 1000) for each in rows]
