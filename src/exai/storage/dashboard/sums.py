"""Sums that pages show: what was spent, how many groups of faults there are, how large the database is."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, case, func, select

from exai.storage.database import Database
from exai.storage.dialects import database_bytes
from exai.storage.error_tracking.schema import error_counts, error_groups
from exai.storage.schema import calls

__all__ = ["DashboardSums", "Spend"]

DAYS = 7


class Spend(msgspec.Struct, frozen=True):
    """What calls cost since a moment."""

    usd: float
    emulated_usd: float
    """Of a demonstration: nothing was charged."""
    without_price: int
    """Requests of which a part has no known price, so that it is in no sum."""


class DashboardSums:
    """Reads sums; each raises `StoreFailed` or `QueryTooSlow`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def spent(self, since: datetime) -> Spend:
        """Add up what the calls cost that began since then."""
        charged = func.coalesce(func.sum(case((_is_emulated, 0.0), else_=calls.c.cost_usd)), 0.0)
        emulated = func.coalesce(func.sum(case((_is_emulated, calls.c.cost_usd), else_=0.0)), 0.0)
        unpriced = func.coalesce(func.sum(calls.c.without_price), 0)
        query = select(charged, emulated, unpriced).where(calls.c.began_at >= since)
        usd, emulated_usd, without = await self._database.view(
            lambda connection: tuple(connection.execute(query).one())
        )
        return Spend(float(usd), float(emulated_usd), int(without))

    async def groups_by_state(self) -> Mapping[str, int]:
        """Count the groups of faults by their state."""
        query = select(error_groups.c.state, func.count()).group_by(error_groups.c.state)
        rows = await self._database.view(lambda connection: connection.execute(query).all())
        return {state: int(count) for state, count in rows}

    async def days_of(self, numbers: Sequence[int], today: datetime) -> Mapping[int, list[int]]:
        """Count how often groups were seen on each of the last seven days, the oldest first."""
        first = today.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS - 1)
        query = (
            select(error_groups.c.number, error_counts.c.hour, func.sum(error_counts.c.seen))
            .join_from(error_counts, error_groups, error_counts.c.group_id == error_groups.c.group_id)
            .where(error_groups.c.number.in_(numbers), error_counts.c.hour >= first)
            .group_by(error_groups.c.number, error_counts.c.hour)
        )
        found = {number: [0] * DAYS for number in numbers}
        for number, hour, seen in await self._database.view(
            lambda connection: connection.execute(query).all()
        ):
            place = (hour - first).days
            if 0 <= place < DAYS:
                found[number][place] += int(seen)
        return found

    async def bytes(self) -> int | None:
        """Measure the database; `None` where it does not tell."""
        return await self._database.view(_bytes)


_is_emulated = func.coalesce(calls.c.emulated, 0) > 0


def _bytes(connection: Connection) -> int | None:
    return database_bytes(connection)
