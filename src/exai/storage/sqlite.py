"""SQLite: one file, one thread that writes, one that reads, and one that reads for pages of people.

Write-ahead log with `synchronous=FULL`: what was acknowledged survives a crash of
the process and of the machine. A plain `sqlite3` connection per thread costs one
thread hop per batch, where an asynchronous driver pays one per statement.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from exai.storage.database_file import FILE_NAME
from exai.storage.dialects import execute_by_driver

__all__ = ["FILE_NAME", "SqliteBackend"]

T = TypeVar("T")

BUSY_TIMEOUT_MS = 10_000
BUSY_PAUSE_S = 0.01


class SqliteBackend:
    """Runs work on connections that belong to threads of their own."""

    kind = "sqlite"

    def __init__(self, file: Path) -> None:
        self._writer = _Thread(_engine(file, "BEGIN IMMEDIATE"), "sqlite-writer")
        self._reader = _GroupReader(_Thread(_engine(file, "BEGIN"), "sqlite-reader"))
        self._viewer = _GroupReader(_Thread(_engine(file, "BEGIN"), "sqlite-viewer"))

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a read transaction."""
        return await self._reader.read(work)

    async def view(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a read transaction that no other read waits for."""
        return await self._viewer.read(work)

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction; committed when it returns."""
        return await self._writer.run(work)

    async def close(self) -> None:
        """Close every connection, the writer last."""
        await self._viewer.close()
        await self._reader.close()
        await self._writer.close()


class _Thread:
    """A thread and its connection."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._connection: Connection | None = None

    def run(self, work: Callable[[Connection], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._executor, self._transaction, work)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, self._disconnect)
        self._executor.shutdown()

    def _transaction(self, work: Callable[[Connection], T]) -> T:
        if self._connection is None:
            self._connection = self._engine.connect()
        with self._connection.begin():
            return work(self._connection)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()


_Work = Callable[[Connection], Any]
_Outcome = tuple[Any, Exception | None]


class _GroupReader:
    """Reads that arrive while others run share the next hop to the thread, and its snapshot.

    The snapshot is taken after the last of them arrived, so each sees what was committed before it was asked.
    """

    def __init__(self, thread: _Thread) -> None:
        self._thread = thread
        self._waiting: list[tuple[_Work, asyncio.Future[Any]]] = []
        self._running: asyncio.Future[list[_Outcome]] | None = None

    async def read(self, work: Callable[[Connection], T]) -> T:
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, done))
        if self._running is None:
            self._start()
        return await done

    async def close(self) -> None:
        while self._running is not None:
            await asyncio.wait([self._running])
        await self._thread.close()

    def _start(self) -> None:
        batch, self._waiting = self._waiting, []
        works = [work for work, _ in batch]
        self._running = self._thread.run(lambda connection: _outcomes(connection, works))
        self._running.add_done_callback(lambda running: self._finish(running, [done for _, done in batch]))

    def _finish(
        self, running: asyncio.Future[list[_Outcome]], waiters: Sequence[asyncio.Future[Any]]
    ) -> None:
        self._running = None
        if self._waiting:
            self._start()
        error = running.exception()
        outcomes: list[_Outcome] = (
            [(None, error)] * len(waiters) if isinstance(error, Exception) else running.result()
        )
        for done, (result, fault) in zip(waiters, outcomes, strict=True):
            if done.done():
                continue
            if fault is None:
                done.set_result(result)
            else:
                done.set_exception(fault)


def _outcomes(connection: Connection, works: Sequence[_Work]) -> list[_Outcome]:
    outcomes: list[_Outcome] = []
    for work in works:
        try:
            outcomes.append((work(connection), None))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asked for this read
            outcomes.append((None, error))
    return outcomes


def _engine(file: Path, begin: str) -> Engine:
    engine = create_engine(
        f"sqlite+pysqlite:///{file}",
        poolclass=NullPool,
        connect_args={"check_same_thread": False},
        hide_parameters=True,  # they hold what was said, and errors are logged
    )

    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun by the line below, not by the driver
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        _write_ahead(cursor)
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", lambda connection: execute_by_driver(connection, begin))
    return engine


def _write_ahead(cursor: Any) -> None:
    """SQLite's own time-out does not count here: it refuses at once while another process makes the file."""
    end = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(BUSY_PAUSE_S)
        else:
            return
