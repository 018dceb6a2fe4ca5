"""Rows of programs that report, the hashes of their keys, and what became of what they sent."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.storage.dialects import add_up
from exai.storage.error_tracking.schema import error_intake, error_occurrences, error_projects
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["Intake", "Project", "ProjectTables", "ProjectUse", "Trust"]

Trust = Literal["private", "public"]
"""Who may know the key: `public` where others may, such as in a web page."""


class Project(msgspec.Struct, frozen=True):
    """A program that reports, or may have."""

    project_id: int
    name: str
    trust: str
    """`own` for EXAI itself, else as `Trust`."""
    dsn_key_sha256: str | None
    """`None`: nobody may report."""
    repository: str | None = None
    """The folder in which its sources and history are; `None`: they are not evidence."""
    path_prefix: str | None = None
    """Where in it the program lies."""


class Intake(msgspec.Struct):
    """What became of what a project sent within an hour."""

    events: int = 0
    """Faults that were taken."""
    repeated: int = 0
    """Of an id that was taken before."""
    not_kept: int = 0
    """Items that nobody reads here."""
    broken: int = 0
    lost: int = 0
    """Refused as they were too many, or dropped by their sender as it said."""


class ProjectUse(msgspec.Struct, frozen=True):
    """A project with what it sent lately."""

    project: Project
    intake: Intake


class ProjectTables:
    """Finds and changes projects."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def find(self, project_id: int) -> Project | None:
        """Find a project by its number.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = select(*_COLUMNS).where(_row.project_id == project_id)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else Project(*row)

    async def named(self, name: str) -> Project | None:
        """Find a project by its name.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = select(*_COLUMNS).where(_row.name == name)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else Project(*row)

    async def reporters(self) -> dict[int, str]:
        """Name the programs that report, or have, by their number; EXAI itself is none of them.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = select(_row.project_id, _row.name).where(_row.trust != "own")
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {int(number): str(name) for number, name in rows}

    async def listing(self, since: datetime) -> Sequence[ProjectUse]:
        """List the projects that report, with what they sent since then, by name.

        Raises:
            StoreFailed: the database is out of reach.
        """
        sent = error_intake.c
        sums = [func.coalesce(func.sum(sent[name]), 0) for name in _COUNTS]
        query = (
            select(*_COLUMNS, *sums)
            .select_from(
                error_projects.outerjoin(
                    error_intake, (sent.project_id == _row.project_id) & (sent.hour >= since)
                )
            )
            .where(_row.trust != "own")
            .group_by(*_COLUMNS)
            .order_by(_row.name)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        width = len(_COLUMNS)
        return [ProjectUse(Project(*row[:width]), Intake(*map(int, row[width:]))) for row in rows]

    async def create(self, name: str, trust: Trust, key_sha256: str) -> Project | None:
        """Make a project; `None` where one of this name is there.

        Raises:
            StoreFailed: it was not made.
        """
        return await self._database.write(_create, (name, trust, key_sha256))

    async def change_key(self, name: str, key_sha256: str | None) -> Project | None:
        """Put a key in the place of the one before, or none; `None` where there is no project of this name.

        Raises:
            StoreFailed: the one before is good still.
        """
        return await self._database.write(_change, (name, {"dsn_key_sha256": key_sha256}))

    async def name_sources(
        self, name: str, repository: str | None, path_prefix: str | None
    ) -> Project | None:
        """Say where the sources of a program are; `None` where there is no project of this name.

        Raises:
            StoreFailed: nothing was changed.
        """
        values = {"repository": repository, "path_prefix": path_prefix}
        return await self._database.write(_change, (name, values))

    async def known_events(self, project_id: int, event_ids: Collection[str]) -> frozenset[str]:
        """Return which of these ids of reporters have been taken before, as far as their occurrences are kept.

        Raises:
            StoreFailed: the database is out of reach.
        """
        kept = error_occurrences.c
        query = select(kept.event_id).where(
            kept.event_id.in_([f"{project_id}/{event_id}" for event_id in event_ids])
        )
        rows = await self._database.read(lambda connection: connection.execute(query).scalars().all())
        return frozenset(str(found).partition("/")[2] for found in rows)

    def count_soon(self, project_id: int, intake: Intake) -> None:
        """Queue what a project sent now."""
        hour = self._clock.utc().replace(minute=0, second=0, microsecond=0)
        row = {"project_id": project_id, "hour": hour, **msgspec.structs.asdict(intake)}
        self._database.write_soon(_count, row, durable=True)


_row = error_projects.c
_COLUMNS = tuple(_row[name] for name in Project.__struct_fields__)
_COUNTS = Intake.__struct_fields__
_ADD = add_up(error_intake, _COUNTS)


@row_by_row(LockGroup.IDENTITY)
def _create(connection: Connection, new: tuple[str, str, str]) -> Project | None:
    name, trust, key_sha256 = new
    if connection.execute(select(_row.project_id).where(_row.name == name)).first() is not None:
        return None
    row = {"name": name, "trust": trust, "dsn_key_sha256": key_sha256}
    made = connection.execute(insert(error_projects).values(row).returning(_row.project_id)).scalar_one()
    return Project(made, name, trust, key_sha256)


@row_by_row(LockGroup.IDENTITY)
def _change(connection: Connection, change: tuple[str, dict[str, str | None]]) -> Project | None:
    name, changed = change
    own = (_row.name == name) & (_row.trust != "own")
    connection.execute(update(error_projects).where(own).values(changed))
    found = connection.execute(select(*_COLUMNS).where(own)).first()
    return None if found is None else Project(*found)


@row_by_row(LockGroup.USE)
def _count(connection: Connection, row: Mapping[str, Any]) -> None:
    _ADD.execute(connection, row)
