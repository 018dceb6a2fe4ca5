"""What SQLite and PostgreSQL say differently. No other module asks which of them a connection belongs to."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Table, text
from sqlalchemy.dialects import postgresql, sqlite

__all__ = ["PortableInsert", "insert_if_absent", "lock_until_commit", "upsert"]

LOCKS = 0x45584149
"""The space of EXAI's own advisory locks in a PostgreSQL database that others may use too."""

_TAKE_LOCK = text("SELECT pg_advisory_xact_lock(:space, :number)")

_Conflict = Callable[[Any], Any]
"""Adds to either dialect's insert what happens when the row is there already. Their types have no common base."""


class PortableInsert:
    """An insert whose conflict clause is written for both databases, and chosen by the connection."""

    def __init__(self, table: Table, conflict: _Conflict) -> None:
        self._statements = {
            "postgresql": conflict(postgresql.insert(table)),
            "sqlite": conflict(sqlite.insert(table)),
        }

    def execute(
        self, connection: Connection, rows: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> CursorResult[Any]:
        """Insert one row, or many in the order given."""
        return connection.execute(self._statements[connection.dialect.name], rows)


def insert_if_absent(table: Table) -> PortableInsert:
    """Insert a row, unless one of its primary key is there; `rowcount` of one row says which."""
    return PortableInsert(table, lambda insert: insert.on_conflict_do_nothing())


def upsert(table: Table, replaced: Collection[str], *, only_if_greater: str | None = None) -> PortableInsert:
    """Insert a row, or replace these columns of the one with its primary key.

    Args:
        only_if_greater: a column; the row that is there stays unless its value is less than the new one.
    """

    def conflict(insert: Any) -> Any:
        new = insert.excluded
        return insert.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={name: new[name] for name in replaced},
            where=None if only_if_greater is None else table.c[only_if_greater] < new[only_if_greater],
        )

    return PortableInsert(table, conflict)


def lock_until_commit(connection: Connection, number: int) -> None:
    """Wait until no other transaction holds the lock of this number, and hold it to the end of this one.

    On SQLite there is nothing to do: a write transaction has the whole database for itself.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_TAKE_LOCK, {"space": LOCKS, "number": number})
