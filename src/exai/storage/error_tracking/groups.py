"""Groups of faults: read by people, and changed by what they decide."""

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, and_, case, delete, func, insert, or_, select, update

from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.storage.error_tracking.counting import MOST_CALLERS, hour_of
from exai.storage.error_tracking.failed_costs import failed_costs
from exai.storage.error_tracking.rows import Change, GroupRow, ReleaseRow, State, Turn
from exai.storage.error_tracking.schema import (
    error_callers,
    error_counts,
    error_fingerprints,
    error_groups,
    error_occurrences,
    error_turns,
    investigations,
    releases,
)
from exai.storage.error_tracking.turns import add_turn, change_state
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["FingerprintRow", "GroupTables", "HourRow", "OccurrenceRow", "StaleVersion"]

WEEK = timedelta(days=7)


class StaleVersion(Exception):
    """Somebody changed the group since it was read."""


class HourRow(msgspec.Struct, frozen=True):
    """What one hour saw of a group."""

    hour: datetime
    seen: int
    handled: int
    lost: int


class OccurrenceRow(msgspec.Struct, frozen=True):
    """An occurrence that was kept whole."""

    occurrence_id: str
    at: datetime
    release: str
    run_id: str | None
    call_id: str | None
    incident_id: str | None
    body: str
    """JSON, redacted."""


class FingerprintRow(msgspec.Struct, frozen=True):
    """By what a group gathers."""

    rule: int
    hash: str
    why: str
    """JSON: which line of the rule decided, with which parts."""
    seen: int


class GroupTables:
    """Finds groups and what is known of them, and changes them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def listed(
        self,
        *,
        state: State | None,
        matching: str = "",
        most: int,
        order: Literal["last", "first", "seen", "callers", "cost"] = "last",
        project_id: int | None = None,
        after: tuple[datetime | int, int] | None = None,
    ) -> list[GroupRow]:
        """List groups in an order: the latest, the newest, the loudest, those that most callers met, the dearest.

        Args:
            matching: what the title, the place or the code has to contain.
            after: of the last group of the page before what it is sorted by, and its number.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = error_groups.c
        query = select(*_GROUP)
        if order == "cost":
            costs = failed_costs()
            by: ColumnElement[Any] = func.coalesce(costs.c.micro_usd, 0)
            query = query.join_from(error_groups, costs, costs.c.group_id == row.group_id, isouter=True)
        else:
            columns = {
                "last": row.last_seen,
                "first": row.first_seen,
                "seen": row.seen,
                "callers": row.callers,
            }
            by = columns[order]
        query = query.order_by(by.desc(), row.number.desc()).limit(most)
        if state is not None:
            query = query.where(row.state == state)
        if project_id is not None:
            query = query.where(row.project_id == project_id)
        if after is not None:
            value, number = after
            query = query.where(or_(by < value, and_(by == value, row.number < number)))
        if matching:
            query = query.where(
                or_(
                    *(
                        each.icontains(matching, autoescape=True)
                        for each in (row.title, row.culprit, row.code)
                    )
                )
            )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [_group(each) for each in rows]

    async def costs(self, group_ids: Sequence[str]) -> dict[str, int]:
        """Read what the failed calls of groups cost, in millionths of a dollar; those without any are left out.

        Raises:
            StoreFailed: the database is out of reach.
        """
        costs = failed_costs()
        query = select(costs.c.group_id, costs.c.micro_usd).where(costs.c.group_id.in_(group_ids))
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {group_id: int(micro_usd) for group_id, micro_usd in rows}

    async def find(self, number: int) -> GroupRow | None:
        """Find a group by its number.

        Raises:
            StoreFailed: the database is out of reach.
        """
        return await self._database.read(lambda connection: _find(connection, number))

    async def with_id(self, group_id: str) -> GroupRow | None:
        """Find a group by its id.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = select(*_GROUP).where(error_groups.c.group_id == group_id)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else _group(row)

    async def latest_turns(self, most: int) -> list[Turn]:
        """Read the latest turns of all groups, newest first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = error_turns.c
        names = [name for name in Turn.__struct_fields__ if name != "number"]
        query = (
            select(error_groups.c.number, *(row[name] for name in names))
            .join_from(error_turns, error_groups, row.group_id == error_groups.c.group_id)
            .order_by(row.at.desc(), error_groups.c.number.desc(), row.seq.desc())
            .limit(most)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [Turn(**{**row, "facts": msgspec.json.decode(row["facts"])}) for row in rows]

    async def turns(self, group: GroupRow) -> list[Turn]:
        """Read what happened to a group, in order.

        Raises:
            StoreFailed: the database is out of reach.
        """
        names = [name for name in Turn.__struct_fields__ if name != "number"]
        query = (
            select(*(error_turns.c[name] for name in names))
            .where(error_turns.c.group_id == group.group_id)
            .order_by(error_turns.c.seq)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [
            Turn(**{**row, "number": group.number, "facts": msgspec.json.decode(row["facts"])})
            for row in rows
        ]

    async def hours(self, group: GroupRow, since: datetime) -> list[HourRow]:
        """Read how often a group was seen, by hour, the oldest first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = error_counts.c
        query = (
            select(row.hour, func.sum(row.seen), func.sum(row.handled), func.sum(row.lost))
            .where(row.group_id == group.group_id, row.hour >= hour_of(since))
            .group_by(row.hour)
            .order_by(row.hour)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [HourRow(hour, int(seen), int(handled), int(lost)) for hour, seen, handled, lost in rows]

    async def occurrences(self, group: GroupRow, most: int, after: str | None = None) -> list[OccurrenceRow]:
        """Read the latest occurrences that were kept, newest first, behind the one of this id.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = error_occurrences.c
        query = (
            select(*(row[name] for name in OccurrenceRow.__struct_fields__))
            .where(row.group_id == group.group_id)
            .order_by(row.at.desc(), row.occurrence_id.desc())
            .limit(most)
        )
        if after is not None:
            at = select(row.at).where(row.occurrence_id == after).scalar_subquery()
            query = query.where(or_(row.at < at, and_(row.at == at, row.occurrence_id < after)))
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [OccurrenceRow(*each) for each in rows]

    async def fingerprints(self, group: GroupRow) -> list[FingerprintRow]:
        """Read by what a group gathers.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = error_fingerprints.c
        query = (
            select(*(row[name] for name in FingerprintRow.__struct_fields__))
            .where(row.group_id == group.group_id)
            .order_by(row.seen.desc(), row.hash)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [FingerprintRow(*each) for each in rows]

    async def rates(self) -> dict[str, tuple[int, int]]:
        """Read by group how often it was seen in the hour that runs, and in the seven days before it.

        Raises:
            StoreFailed: the database is out of reach.
        """
        hour, row = hour_of(self._clock.utc()), error_counts.c
        in_hour = case((row.hour == hour, row.seen), else_=0)
        query = (
            select(row.group_id, func.sum(in_hour), func.sum(row.seen - in_hour))
            .where(row.hour >= hour - WEEK)
            .group_by(row.group_id)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {group_id: (int(now), int(before)) for group_id, now, before in rows}

    async def releases(self, project_id: int) -> list[ReleaseRow]:
        """Read the releases of a project in the order of their first sight.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = releases.c
        query = (
            select(row.release, row.ordinal, row.first_seen)
            .where(row.project_id == project_id)
            .order_by(row.ordinal)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [ReleaseRow(*each) for each in rows]

    async def decide(
        self,
        number: int,
        change: Callable[[GroupRow], Change],
        *,
        version: int | None,
        actor: str,
        note: str = "",
    ) -> GroupRow | None:
        """Change a group as `change` says, with a turn of its history; `None`: there is no such group.

        Args:
            version: that the decision was made on; `None`: whichever there is.

        Raises:
            StaleVersion: the group has another version.
            StoreFailed: nothing was changed.
        """
        return await self._database.write(
            _decide, _Decision(number, change, version, actor, note, self._clock.utc())
        )

    async def merge(
        self, into: int, others: Sequence[int], *, actor: str, note: str = "", version: int | None = None
    ) -> GroupRow | None:
        """Move all that the other groups gathered, and will, into one; `None`: one of them is not there.

        Raises:
            StaleVersion: the group has another version.
            StoreFailed: nothing was changed.
        """
        parameters = into, version, tuple(others), actor, note, self._clock.utc()
        return await self._database.write(_merge, parameters)

    async def split(
        self, number: int, hash_: str, *, actor: str, note: str = "", version: int | None = None
    ) -> GroupRow | None:
        """Move one fingerprint with all that it gathered into a group of its own; return that group.

        `None`: there is no such group, or no fingerprint of it begins so, or it has no other one.

        Raises:
            StaleVersion: the group has another version.
            StoreFailed: nothing was changed.
        """
        parameters = number, version, hash_, actor, note, self._clock.utc()
        return await self._database.write(_split, parameters)


_GROUP = tuple(error_groups.c[name] for name in GroupRow.__struct_fields__)


class _Decision(msgspec.Struct, frozen=True):
    number: int
    change: Callable[[GroupRow], Change]
    version: int | None
    actor: str
    note: str
    at: datetime


def _group(row: Row[Any]) -> GroupRow:
    return GroupRow(**dict(zip(GroupRow.__struct_fields__, row, strict=True)))


def _find(connection: Connection, number: int) -> GroupRow | None:
    row = connection.execute(select(*_GROUP).where(error_groups.c.number == number)).first()
    return None if row is None else _group(row)


def _as_looked_at(connection: Connection, number: int, version: int | None) -> GroupRow | None:
    """Find a group; `version` is the one that somebody decides on, where they say so."""
    group = _find(connection, number)
    if group is not None and version not in {None, group.version}:
        raise StaleVersion
    return group


@row_by_row(LockGroup.ERRORS)
def _decide(connection: Connection, decision: _Decision) -> GroupRow | None:
    group = _as_looked_at(connection, decision.number, decision.version)
    if group is None:
        return None
    change = decision.change(group)
    turn = change_state(connection, group, change, at=decision.at, actor=decision.actor, note=decision.note)
    if turn is None:
        raise StaleVersion
    return _find(connection, decision.number)


@row_by_row(LockGroup.ERRORS)
def _merge(
    connection: Connection, parameters: tuple[int, int | None, tuple[int, ...], str, str, datetime]
) -> GroupRow | None:
    into, version, others, actor, note, at = parameters
    group = _as_looked_at(connection, into, version)
    merged = [_find(connection, number) for number in dict.fromkeys(others) if number != into]
    if group is None or not merged:
        return None
    if any(other is None or other.project_id != group.project_id for other in merged):
        return None
    for other in merged:
        if other is not None:
            _end_investigations(connection, other, f"merged into E-{group.number}", at)
            _absorb(connection, group, other)
            add_turn(
                connection,
                group,
                at=at,
                kind="merged",
                actor=actor,
                note=note,
                facts={"group": f"E-{other.number}", "title": other.title, "seen": str(other.seen)},
            )
    _sum_up(connection, group.group_id)
    return _find(connection, into)


def _end_investigations(connection: Connection, group: GroupRow, why: str, at: datetime) -> None:
    """End what is not over, as a group has one unfinished investigation at most."""
    row = investigations.c
    connection.execute(
        update(investigations)
        .where(row.group_id == group.group_id, row.ended_at.is_(None))
        .values(state="cancelled", stage="", why=why, ended_at=at)
    )


def _absorb(connection: Connection, group: GroupRow, other: GroupRow) -> None:
    """Move what belongs to another group, and remove it."""
    for table in (error_fingerprints, error_occurrences, error_counts, investigations):
        connection.execute(
            update(table).where(table.c.group_id == other.group_id).values(group_id=group.group_id)
        )
    known = select(error_callers.c.subject).where(error_callers.c.group_id == group.group_id)
    connection.execute(
        update(error_callers)
        .where(error_callers.c.group_id == other.group_id, error_callers.c.subject.not_in(known))
        .values(group_id=group.group_id)
    )
    connection.execute(delete(error_groups).where(error_groups.c.group_id == other.group_id))
    row = error_groups.c
    connection.execute(
        update(error_groups)
        .where(row.group_id == group.group_id)
        .values(
            first_seen=min(group.first_seen, other.first_seen),
            last_seen=max(group.last_seen, other.last_seen),
        )
    )


@row_by_row(LockGroup.ERRORS)
def _split(
    connection: Connection, parameters: tuple[int, int | None, str, str, str, datetime]
) -> GroupRow | None:
    number, version, hash_, actor, note, at = parameters
    group = _as_looked_at(connection, number, version)
    if group is None:
        return None
    known = error_fingerprints.c
    hashes = connection.scalars(select(known.hash).where(known.group_id == group.group_id)).all()
    moved = [each for each in hashes if each.startswith(hash_)]
    if len(moved) != 1 or len(hashes) < 2:
        return None
    new = _own_group(connection, group)
    for table in (error_fingerprints, error_occurrences, error_counts):
        connection.execute(
            update(table)
            .where(table.c.group_id == group.group_id, table.c.hash == moved[0])
            .values(group_id=new.group_id)
        )
    for each, kind, other in ((group, "split", new), (new, "split_from", group)):
        _sum_up(connection, each.group_id)
        add_turn(
            connection,
            each,
            at=at,
            kind=kind,
            actor=actor,
            note=note,
            facts={"group": f"E-{other.number}", "hash": moved[0]},
        )
    return _find(connection, new.number)


def _own_group(connection: Connection, group: GroupRow) -> GroupRow:
    """Make an open group like another one, with nothing in it."""
    new = msgspec.structs.replace(
        group,
        group_id=f"grp_{secrets.token_hex(8)}",
        number=(connection.scalar(select(func.max(error_groups.c.number))) or 0) + 1,
        state="open",
        version=1,
        callers=0,
        resolved_at=None,
        resolved_in=None,
        archived_until=None,
        archived_count=None,
        archived_rate=None,
    )
    connection.execute(insert(error_groups).values(msgspec.structs.asdict(new)))
    return new


def _sum_up(connection: Connection, group_id: str) -> None:
    """Count a group anew from its fingerprints."""
    known = error_fingerprints.c
    names = ("seen", "handled", "stored", "lost")
    sums = connection.execute(
        select(*(func.coalesce(func.sum(known[name]), 0) for name in names)).where(known.group_id == group_id)
    ).one()
    callers = connection.scalar(
        select(func.count()).select_from(error_callers).where(error_callers.c.group_id == group_id)
    )
    row = error_groups.c
    connection.execute(
        update(error_groups)
        .where(row.group_id == group_id)
        .values(
            version=row.version + 1,
            callers=min(callers or 0, MOST_CALLERS),
            **{name: int(value) for name, value in zip(names, sums, strict=True)},
        )
    )
