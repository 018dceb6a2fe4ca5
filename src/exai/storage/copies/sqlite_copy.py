"""Whole copies of SQLite files, made beside whoever uses them, and checks of such a copy."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from exai.errors import StartFault
from exai.storage.files.rows import LIVE

__all__ = ["contents_of", "copy_sqlite", "schema_of", "trouble_with"]

BUSY_TIMEOUT_S = 30.0
_CONTENTS = "SELECT sha256, bytes FROM blobs WHERE state = ? ORDER BY sha256"


def copy_sqlite(source: Path, target: Path) -> None:
    """Write what is committed in `source` now into the new file `target`. Nobody who writes waits for it.

    Raises:
        StartFault: it cannot be read or written.
    """
    try:
        with closing(
            sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)
        ) as connection:
            connection.execute("VACUUM INTO ?", (str(target),))
    except sqlite3.Error as error:
        raise StartFault(f"{source} cannot be copied to {target.parent}: {error}.") from error


def trouble_with(file: Path) -> str | None:
    """Read a copy from end to end, its indexes and references included; `None` when all of it is sound."""
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                return str(verdict)
            if (row := connection.execute("PRAGMA foreign_key_check").fetchone()) is not None:
                return f"a row of {row[0]} refers to one that is not there"
    except sqlite3.Error as error:
        return str(error)
    return None


def schema_of(file: Path) -> str | None:
    """Read the version of a copy's schema; `None` where it is no database of EXAI."""
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return None
    return None if row is None else str(row[0])


def contents_of(file: Path) -> Iterator[tuple[str, int]]:
    """Yield the SHA-256 and the size of each content whose bytes a copy's rows say are there."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        yield from connection.execute(_CONTENTS, (LIVE,))
