"""The file of jobs: a SQLite database of its own, whose tables belong to the engine that runs them."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Engine as Connections
from sqlalchemy import create_engine, event

__all__ = ["JOBS_FILE_NAME", "Connections", "dead_jobs", "jobs_connections", "needs_maintenance"]

JOBS_FILE_NAME = "jobs.sqlite"
BUSY_TIMEOUT_MS = 30_000
SUBSECONDS_SINCE = (3, 42)
"""From this version on SQLite's own `unixepoch` knows parts of a second, which the engine asks it for."""

_NEEDS_MAINTENANCE = """
SELECT 1 FROM workflow_status AS attempt LEFT JOIN workflow_output AS outcome USING (workflow_uuid)
WHERE attempt.status NOT IN ('SUCCESS', 'CANCELLED') OR outcome.output LIKE '{"end":"dead"%'
LIMIT 1
"""

_DEAD = """
SELECT attempt.name, COUNT(*) FROM workflow_status AS attempt LEFT JOIN workflow_output AS outcome USING (workflow_uuid)
WHERE outcome.output LIKE '{"end":"dead"%' OR attempt.status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED'
GROUP BY attempt.name ORDER BY attempt.name
"""


def jobs_connections(file: Path) -> Connections:
    """Open connections to the file, and create it if it is missing: write-ahead log, each commit on disk.

    Raises:
        OSError: the file cannot be made.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)
    connections = create_engine(f"sqlite+pysqlite:///{file}", hide_parameters=True)
    event.listen(connections, "connect", _connected)
    return connections


def needs_maintenance(file: Path) -> bool:
    """Whether a job in this file is not over, or is dead. Does not need the engine; `True` when in doubt."""
    if not file.exists():
        return False
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            return connection.execute(_NEEDS_MAINTENANCE).fetchone() is not None
    except sqlite3.Error:
        return True


def dead_jobs(file: Path) -> dict[str, int] | None:
    """Count the jobs in this file that were given up, by kind; `None` where it cannot be read. Needs no engine."""
    if not file.exists():
        return {}
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            return dict(connection.execute(_DEAD).fetchall())
    except sqlite3.Error:
        return None


def _connected(connection: Any, _record: object) -> None:
    connection.isolation_level = "IMMEDIATE"  # the engine's own transactions are written for this
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    if sqlite3.sqlite_version_info < SUBSECONDS_SINCE:
        connection.create_function("unixepoch", -1, lambda *_: time.time())
