"""Rows of use: how often tools, arguments, older names, models, clients and outcomes had a name, by day and caller;
and how often lists of tools were sent.
"""

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum

import msgspec
from sqlalchemy import Connection, delete, func, select

from exai.runtime.clock import Clock
from exai.storage.calls.schema import use_counts
from exai.storage.database import Database
from exai.storage.dialects import add_up
from exai.storage.write_operations import LockGroup, all_at_once, row_by_row

__all__ = ["NameKind", "NamedUse", "UseCounts"]

MOST_ROWS = 1_000
"""Of one report; what was named most comes first."""


class NameKind(StrEnum):
    """What a counted name is the name of."""

    TOOL = "tool"
    ARGUMENT = "argument"
    OLDER_NAME = "older_name"
    MODEL = "model"
    CLIENT = "client"
    OUTCOME = "outcome"
    """`ok`, or the code of the failure; refused calls are counted too."""
    LIST = "list"
    """A list of tools that was sent, by the name of its profile: of no tool, and no call."""


class NamedUse(msgspec.Struct, frozen=True):
    """The calls of one tool that had a name in them; those of a tool as a whole have its own."""

    kind: NameKind
    tool: str
    name: str
    calls: int
    failures: int
    """Of these calls, the ones that did not end well."""
    cost_usd: float
    """By list price, of everything whose price is known; a call counts in full for each name in it."""


class UseCounts:
    """Adds to the counts, and sums them up; several daemons may add to one."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add_soon(self, counted: Sequence[tuple[str, NamedUse]]) -> None:
        """Queue what owners have used today, in rows that are different from each other."""
        if counted:
            day = f"{self._clock.utc():%Y-%m-%d}"
            rows = [
                {"day": day, "owner": owner, **msgspec.structs.asdict(use), "kind": use.kind.value}
                for owner, use in counted
            ]
            self._database.write_soon(_add, rows)

    async def report(self, *, days: float, owner: str | None) -> Sequence[NamedUse]:
        """Sum up the calls of the last days by kind, tool and name; of one owner, where one is named.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = use_counts.c
        since = f"{self._clock.utc() - timedelta(days=days):%Y-%m-%d}"
        calls = func.sum(row.calls)
        query = (
            select(row.kind, row.tool, row.name, calls, func.sum(row.failures), func.sum(row.cost_usd))
            .where(
                row.day >= since,
                row.kind != NameKind.LIST.value,
                *(() if owner is None else (row.owner == owner,)),
            )
            .group_by(row.kind, row.tool, row.name)
            .order_by(calls.desc(), row.kind, row.tool, row.name)
            .limit(MOST_ROWS)
        )
        return await self._database.read(
            lambda connection: [NamedUse(NameKind(kind), *rest) for kind, *rest in connection.execute(query)]
        )

    async def prune(self, keep_days: int) -> int:
        """Delete the counts of days that are longer ago; return how many there were.

        Raises:
            StoreFailed: they are still there.
        """
        return await self._database.write(_prune, f"{self._clock.utc() - timedelta(days=keep_days):%Y-%m-%d}")


_ADD = add_up(use_counts, ("calls", "failures", "cost_usd"))


@all_at_once(LockGroup.USE)
def _add(connection: Connection, many: list[list[dict[str, object]]]) -> None:
    for rows in many:
        _ADD.execute(connection, rows)


@row_by_row(LockGroup.USE)
def _prune(connection: Connection, day: str) -> int:
    return connection.execute(delete(use_counts).where(use_counts.c.day < day)).rowcount
