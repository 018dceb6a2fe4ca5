"""What SQLite and PostgreSQL say differently. No other module asks which of them a connection belongs to."""

import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import import_module
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, CursorResult, Dialect, Insert, Table, Update, func, select, text
from sqlalchemy.exc import DBAPIError

from exai.storage.faults import QueryTooSlow, sqlstate_of

__all__ = [
    "ManyRows",
    "PortableInsert",
    "add_up",
    "database_bytes",
    "database_time",
    "execute_by_driver",
    "insert_if_absent",
    "lock_until_commit",
    "statement_limit",
    "upsert",
    "write_nothing",
]

LOCKS = 0x45584149
"""The space of EXAI's own advisory locks in a PostgreSQL database that others may use too."""

STEPS_BETWEEN_LOOKS = 2_000
"""Of SQLite's machine, between two looks at the clock."""
CANCELLED_STATE = "57014"
"""PostgreSQL's word for a statement that its time limit ended."""
INTERRUPTED = "interrupted"
"""SQLite's."""

_REWRITE = text("UPDATE alembic_version SET version_num = version_num")
_TAKE_LOCK = text("SELECT pg_advisory_xact_lock(:space, :number)")

_NOW = select(func.clock_timestamp())

_Conflict = Callable[[Any], Any]
"""Adds to either dialect's insert what happens when the row is there already. Their types have no common base."""


class PortableInsert:
    """An insert whose conflict clause is written for both databases, and chosen by the connection."""

    def __init__(self, table: Table, conflict: _Conflict) -> None:
        self._table = table
        self._conflict = conflict
        self._statements: dict[str, Insert] = {}

    def execute(
        self, connection: Connection, rows: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> CursorResult[Any]:
        """Insert one row, or many in the order given."""
        return connection.execute(self.of(connection.dialect), rows)

    def of(self, dialect: Dialect) -> Insert:
        """Return the statement for a database; that of one which is not used is never imported."""
        name = dialect.name
        if name not in self._statements:
            insert = import_module(f"sqlalchemy.dialects.{name}").insert
            self._statements[name] = self._conflict(insert(self._table))
        return self._statements[name]


class ManyRows:
    """A statement that calls execute, for many rows at once and without results.

    For each execution SQLAlchemy works out how the parameters are handed over, and keeps a cursor's result, which for
    SQLite takes longer than the statement. There the first is done once, and the driver gets the statement alone.
    """

    def __init__(self, statement: Insert | Update | PortableInsert) -> None:
        self._statement = statement
        self._compiled: _Compiled | None = None

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute the statement for each row, in the order given. In all executions the rows have the same keys."""
        dialect = connection.dialect
        if dialect.name != "sqlite":
            connection.execute(self._of(dialect), rows)
            return
        if self._compiled is None:
            self._compiled = _Compiled(self._of(dialect), dialect, list(rows[0]))
        execute_by_driver(connection, self._compiled.sql, [self._compiled.values(row) for row in rows])

    def _of(self, dialect: Dialect) -> Insert | Update:
        statement = self._statement
        return statement.of(dialect) if isinstance(statement, PortableInsert) else statement


def execute_by_driver(connection: Connection, sql: str, rows: Sequence[tuple[Any, ...]] = ((),)) -> None:
    """Execute a statement of SQLite for each row, without results; its errors are those of SQLAlchemy."""
    driver = connection.connection.driver_connection
    assert driver is not None, "a connection that is open"  # noqa: S101
    try:
        driver.executemany(sql, rows) if len(rows) > 1 else driver.execute(sql, rows[0])
    except sqlite3.Error as error:
        raise DBAPIError.instance(
            sql, None, error, sqlite3.Error, hide_parameters=True, dialect=connection.dialect
        ) from error


class _Compiled:
    """The SQL of a statement, and the parameters of a row in the order in which they stand there."""

    def __init__(self, statement: Insert | Update, dialect: Dialect, keys: Sequence[str]) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=keys)
        self.sql = str(compiled)
        names = compiled.positiontup or []
        self._in_order = itemgetter(*names)
        types = (compiled.binds[name].type.dialect_impl(dialect) for name in names)
        processors = ((place, kind.bind_processor(dialect)) for place, kind in enumerate(types))
        self._processors = [(place, process) for place, process in processors if process is not None]

    def values(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the parameters of a row, as the driver takes them."""
        values = list(self._in_order(row))
        for place, process in self._processors:
            values[place] = process(values[place])
        return tuple(values)


def insert_if_absent(table: Table) -> PortableInsert:
    """Insert a row, unless one with its primary key, or its part of a unique index, is there.

    `rowcount` of one row says which.
    """
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


def add_up(table: Table, sums: Collection[str]) -> PortableInsert:
    """Insert a row, or add the values of these columns to those of the one with its primary key."""

    def conflict(insert: Any) -> Any:
        return insert.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={name: table.c[name] + insert.excluded[name] for name in sums},
        )

    return PortableInsert(table, conflict)


def write_nothing(connection: Connection) -> None:
    """Write something that changes no data, so that its commit proves that the database takes writes."""
    if connection.dialect.name == "postgresql":
        connection.execute(_REWRITE)
        return
    # SQLite drops an update that changes no byte; this number is the application's own, and EXAI has no use for it.
    number = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    connection.exec_driver_sql(f"PRAGMA user_version = {(number + 1) % 2**31}")


def database_time(connection: Connection, here: datetime) -> datetime:
    """Return the time by the database's clock; `here` on SQLite, whose clock is that of its process."""
    if connection.dialect.name != "postgresql":
        return here
    now: datetime = connection.execute(_NOW).scalar_one()
    return now


def database_bytes(connection: Connection) -> int | None:
    """Return how large the database is, its log not counted; `None` where it does not tell."""
    if connection.dialect.name == "postgresql":
        size = connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
    else:
        size = connection.exec_driver_sql(
            "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        ).scalar_one()
    return None if size is None else int(size)


@contextmanager
def statement_limit(connection: Connection, seconds: float) -> Iterator[None]:
    """End a statement that takes longer than so many seconds, within this scope.

    Raises:
        QueryTooSlow: one was ended.
    """
    is_server = connection.dialect.name == "postgresql"
    driver: Any = None if is_server else connection.connection.driver_connection
    if is_server:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
    else:
        end = time.monotonic() + seconds
        driver.set_progress_handler(lambda: time.monotonic() > end, STEPS_BETWEEN_LOOKS)
    try:
        yield
    except DBAPIError as error:
        if sqlstate_of(error) == CANCELLED_STATE or str(error.orig) == INTERRUPTED:
            raise QueryTooSlow(
                f"That took longer than {seconds:g} s and was ended. Narrow the range, or add a term."
            ) from None
        raise
    finally:
        if driver is not None:
            driver.set_progress_handler(None, 0)


def lock_until_commit(connection: Connection, number: int) -> None:
    """Wait until no other transaction holds the lock of this number, and hold it to the end of this one.

    On SQLite there is nothing to do: a write transaction has the whole database for itself.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_TAKE_LOCK, {"space": LOCKS, "number": number})
