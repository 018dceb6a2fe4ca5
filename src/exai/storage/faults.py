"""What a failure of the database says: that the database is away, or that it refused what it was told.

PostgreSQL says so by SQLSTATE (its manual, appendix A), whatever class the driver and SQLAlchemy make of it; SQLite by
the classes of PEP 249. What fails before there is a connection is `Unreachable`, whatever the server said.

=============  ==============================================================  ================================
verdict        means                                                           then
=============  ==============================================================  ================================
`AWAY`         out of reach, starting, full, read-only, or silent for too      nothing else is tried now; what
               long; what it was told last may have been kept or not           is durable waits
`TRANSIENT`    rolled back by no fault of the write, such as a deadlock, or    each write is tried alone; what
               nobody knows why                                                is durable waits
`BUSY`         not begun: this process itself uses every connection for too    nothing else is tried now; what
               long, which says nothing of the database                        is durable waits
`REFUSED`      the write is at fault, or our code                              each write is tried alone; it is
                                                                               given up and counted
=============  ==============================================================  ================================
"""

import sqlite3
from enum import Enum

from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from exai.errors import StoreFailed

__all__ = [
    "FAULTS",
    "DatabaseBusy",
    "QueryTooSlow",
    "Unreachable",
    "Verdict",
    "is_disk_full",
    "kind_of",
    "sqlstate_of",
    "store_failed",
    "verdict_on",
]

FAULTS = (SQLAlchemyError, OSError, TimeoutError)
"""What a database that is gone, full, locked or read-only raises."""


class Unreachable(OSError):
    """There is no connection to the database, or it did not accept one; the cause says why."""


class DatabaseBusy(StoreFailed):
    """This process uses every connection it has to the database, which itself may be well."""

    code = "database_busy"


class QueryTooSlow(StoreFailed):
    """A page asked for more than may be read at once."""

    code = "query_too_slow"
    retryable = False
    fixable_by = "caller"


class Verdict(Enum):
    """What a failed transaction means for the writes in it."""

    AWAY = "away"
    TRANSIENT = "transient"
    BUSY = "busy"
    REFUSED = "refused"


_AWAY = frozenset({"08", "53", "57", "58"})
"""Connections; resources (disk, memory, connections); operator intervention, time-outs among them; system errors."""
_AWAY_STATES = frozenset({"25006", "25P03", "25P04", "55P03"})
"""Read-only; a transaction that lasted too long; a lock that was not to be had in time."""
_REFUSED = frozenset({"0A", "21", "22", "23", "42", "44"})
"""Not supported; cardinality; data; integrity; syntax, names and rights; a view's check."""


def verdict_on(error: BaseException) -> Verdict:
    """Tell whether the database failed, or refused what it was told."""
    if isinstance(error, (OSError, TimeoutError)):
        return Verdict.AWAY
    if not isinstance(error, DBAPIError):
        return Verdict.BUSY if isinstance(error, PoolTimeout) else Verdict.REFUSED
    if error.connection_invalidated:
        return Verdict.AWAY
    state = sqlstate_of(error)
    if state is None:
        return _by_class(error)
    if state[:2] in _AWAY or state in _AWAY_STATES:
        return Verdict.AWAY
    return Verdict.REFUSED if state[:2] in _REFUSED else Verdict.TRANSIENT


def sqlstate_of(error: BaseException) -> str | None:
    """Find PostgreSQL's five characters in an error or in what it wraps."""
    seen: BaseException | None = error
    while seen is not None:
        state = getattr(seen, "sqlstate", None)
        if isinstance(state, str) and len(state) == 5:
            return state
        seen = getattr(seen, "orig", None) or seen.__cause__
    return None


def kind_of(error: BaseException) -> str:
    """Name an error for a log: its class, and the SQLSTATE where there is one."""
    inner = error.__cause__ if isinstance(error, Unreachable) and error.__cause__ is not None else error
    state = sqlstate_of(error)
    return type(inner).__name__ if state is None else f"{type(inner).__name__} {state}"


def is_disk_full(error: BaseException) -> bool:
    """Whether SQLite found no space on its disk."""
    found = getattr(error, "orig", None)
    # Errors that Python's module raises by itself have no code.
    return (
        isinstance(found, sqlite3.Error) and getattr(found, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    )


def store_failed(error: BaseException | None = None) -> StoreFailed:
    """Make the error that callers get of what the database raised."""
    if error is not None and is_disk_full(error):
        return StoreFailed(
            "The disk with EXAI's database is full, so nothing was kept. Free space there, or tell the operator; files "
            "can be removed all the same, as long as the space lasts that is kept aside for that.",
            retry_after_s=60.0,
        )
    if error is not None and verdict_on(error) is Verdict.BUSY:
        return DatabaseBusy(
            "EXAI reads for more calls at once than it has connections to its database, and none was free in time; "
            "nothing was read. Try again in a few seconds, with fewer calls at once.",
            retry_after_s=5.0,
        )
    return StoreFailed(
        "EXAI could not reach or write its database, so nothing was kept. Try again in a moment; "
        "if it goes on, the log of the daemon says why.",
        retry_after_s=5.0,
    )


def _by_class(error: DBAPIError) -> Verdict:
    """Judge an error without a SQLSTATE: SQLite's, or one of the driver of PostgreSQL itself."""
    if isinstance(error, OperationalError):
        return Verdict.AWAY
    if isinstance(error, (IntegrityError, DataError, ProgrammingError)):
        return Verdict.REFUSED
    if isinstance(error.orig, ValueError) or isinstance(getattr(error.orig, "__cause__", None), ValueError):
        return Verdict.REFUSED  # asyncpg could not encode a parameter
    # A damaged SQLite file is a bare `DatabaseError`.
    return Verdict.AWAY if type(error) is DatabaseError else Verdict.TRANSIENT
