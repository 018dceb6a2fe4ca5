"""Groups of faults as they were at an earlier moment: states from the turns, how often they were seen by hour."""

from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, Select, func, or_, select

from exai.storage.database import Database
from exai.storage.error_tracking.rows import State
from exai.storage.error_tracking.schema import error_counts, error_groups, error_turns

__all__ = ["GroupThen", "GroupsThen", "SortThen"]

SortThen = Literal["last", "first", "seen"]


class GroupThen(msgspec.Struct, frozen=True):
    """A group as it was."""

    group: str
    """As `E-17`."""
    title: str
    """As it is today, like the place and the code, which do not change."""
    place: str
    code: str | None
    state: State
    seen: int
    last_hour: datetime
    """In which it had been seen last."""
    first_seen: datetime


class GroupsThen:
    """Reads groups of an earlier moment; raises `StoreFailed` or `QueryTooSlow`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def listed(
        self, at: datetime, *, state: State | None, matching: str, order: SortThen, most: int
    ) -> list[GroupThen]:
        """List the groups that were there, as they then stood.

        Occurrences are counted by hour, and the hour of the moment whole. A group that was merged into another since
        is part of that one.

        Args:
            matching: what the title, the place or the code has to contain.
        """
        query = _then(at, order).limit(most)
        if state is not None:
            query = query.where(_state_at(at) == state)
        if matching:
            texts = (error_groups.c.title, error_groups.c.culprit, error_groups.c.code)
            query = query.where(or_(*(each.icontains(matching, autoescape=True) for each in texts)))
        rows = await self._database.view(lambda connection: connection.execute(query).all())
        return [
            GroupThen(f"E-{number}", title, place, code, stood, int(seen), last_hour, first_seen)
            for number, title, place, code, stood, seen, last_hour, first_seen in rows
        ]


def _then(at: datetime, order: SortThen) -> Select[Any]:
    """Select the groups that were there at a moment, with what they had gathered."""
    row, counted = error_groups.c, error_counts.c
    seen, last_hour = func.sum(counted.seen).label("seen"), func.max(counted.hour).label("last_hour")
    counts = (
        select(counted.group_id, seen, last_hour)
        .where(counted.hour <= at)
        .group_by(counted.group_id)
        .subquery()
    )
    columns = {"last": counts.c.last_hour, "first": row.first_seen, "seen": counts.c.seen}
    shown = (row.number, row.title, row.culprit, row.code, _state_at(at), counts.c.seen, counts.c.last_hour)
    return (
        select(*shown, row.first_seen)
        .join_from(error_groups, counts, counts.c.group_id == row.group_id)
        .where(row.first_seen <= at)
        .order_by(columns[order].desc(), row.number.desc())
    )


def _state_at(at: datetime) -> ColumnElement[Any]:
    """The state to which the latest turn before a moment led; a group begins open."""
    turn = error_turns.c
    latest = (
        select(turn.to_state)
        .where(turn.group_id == error_groups.c.group_id, turn.at <= at, turn.to_state.is_not(None))
        .order_by(turn.seq.desc())
        .limit(1)
        .correlate(error_groups)
        .scalar_subquery()
    )
    return func.coalesce(latest, "open")
