"""What surrounds a fault in the database: requests to providers, and groups like it that were resolved."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, Connection, func, or_, select

from exai.storage.database import Database
from exai.storage.error_tracking.rows import GroupRow
from exai.storage.error_tracking.schema import error_groups, error_turns
from exai.storage.schema import calls, requests

__all__ = ["RequestTally", "ResolvedGroup", "Surroundings"]

MOST_TALLIES = 40


class RequestTally(msgspec.Struct, frozen=True):
    """How often requests to a model ended in one way."""

    provider: str
    model: str
    outcome: str
    """`ok`, `cancelled`, or the code of the last failure."""
    requests: int
    attempts: int


class ResolvedGroup(msgspec.Struct, frozen=True):
    """A group that somebody resolved."""

    number: int
    title: str
    culprit: str
    release: str | None
    """In which it is; `None`: at once."""
    note: str


class Surroundings:
    """Reads them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def requests(self, since: datetime, until: datetime) -> list[RequestTally]:
        """Count the requests of calls that began in a span of time, by model and outcome.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = requests.c
        alike = (row.provider, row.model, row.outcome)
        query = (
            select(*alike, func.count(), func.sum(row.attempts))
            .join(calls, calls.c.call_id == row.call_id)
            .where(calls.c.began_at >= since, calls.c.began_at <= until)
            .group_by(*alike)
            .order_by(*alike)
            .limit(MOST_TALLIES)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [
            RequestTally(provider, model, outcome, int(number), int(attempts))
            for provider, model, outcome, number, attempts in rows
        ]

    async def resolved_like(
        self, group: GroupRow, functions: Sequence[str], most: int = 5
    ) -> list[ResolvedGroup]:
        """Read groups that were resolved and have the code of a group, or went wrong in one of some functions.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = error_groups.c
        alike: list[ColumnElement[bool]] = [row.culprit.in_([*functions, group.culprit])]
        if group.code is not None:
            alike.append(row.code == group.code)
        query = (
            select(row.group_id, row.number, row.title, row.culprit, row.resolved_in)
            .where(
                row.project_id == group.project_id,
                row.state == "resolved",
                row.group_id != group.group_id,
                or_(*alike),
            )
            .order_by(row.last_seen.desc())
            .limit(most)
        )

        def read(connection: Connection) -> list[ResolvedGroup]:
            found = []
            for group_id, number, title, culprit, release in connection.execute(query).all():
                turn = error_turns.c
                note = connection.scalar(
                    select(turn.note)
                    .where(turn.group_id == group_id, turn.kind == "resolved")
                    .order_by(turn.seq.desc())
                    .limit(1)
                )
                found.append(ResolvedGroup(number, title, culprit, release, note or ""))
            return found

        return await self._database.read(read)
