"""SQLite: one file, one writer thread, a few reader threads.

Write-ahead log with `synchronous=FULL`: what was acknowledged survives a crash of
the process and of the machine. A plain `sqlite3` connection per thread costs one
thread hop per batch, where an asynchronous driver pays one per statement.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

__all__ = ["FILE_NAME", "SqliteBackend"]

T = TypeVar("T")

FILE_NAME = "exai.sqlite"
BUSY_TIMEOUT_MS = 10_000
READERS = 4


class SqliteBackend:
    """Runs work on connections that belong to threads of their own."""

    kind = "sqlite"

    def __init__(self, file: Path) -> None:
        self._writes = _Threads(_engine(file, "BEGIN IMMEDIATE"), 1, "sqlite-writer")
        self._reads = _Threads(_engine(file, "BEGIN"), READERS, "sqlite-reader")

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a read transaction."""
        return await self._reads.run(work)

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction; committed when it returns."""
        return await self._writes.run(work)

    async def close(self) -> None:
        """Close every connection, the writer last."""
        await self._reads.close()
        await self._writes.close()


class _Threads:
    """A pool of threads with a connection each."""

    def __init__(self, engine: Engine, count: int, name: str) -> None:
        self._engine = engine
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._local = threading.local()
        self._connections: list[Connection] = []

    async def run(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._work, work)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._executor.shutdown)
        for connection in self._connections:
            connection.close()
        self._engine.dispose()

    def _work(self, work: Callable[[Connection], T]) -> T:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._engine.connect()
            self._connections.append(connection)
        with connection.begin():
            return work(connection)


def _engine(file: Path, begin: str) -> Engine:
    engine = create_engine(
        f"sqlite+pysqlite:///{file}", poolclass=NullPool, connect_args={"check_same_thread": False}
    )

    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun by the line below, not by the driver
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine
