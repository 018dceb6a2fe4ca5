"""PostgreSQL through asyncpg; the same synchronous work as on SQLite runs on its connections.

Reads have a pool of their own: however many wait for it, what was paid for is written, this process beats to show that
it lives, and a check of the database asks the server itself.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import TypeVar

from sqlalchemy import URL, Connection
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from exai.storage.faults import FAULTS, Unreachable

__all__ = ["PostgresqlBackend"]

T = TypeVar("T")

READERS = 6
VIEWS = 2
"""Of the readers, for pages of people."""
WRITERS = 3
"""One for each who uses them: the group commit, the trial write of a check, and the beat. None waits."""
CONNECT_TIMEOUT_S = 10
POOL_TIMEOUT_S = 10
"""How long a read waits for a connection that others use."""
COMMAND_TIMEOUT_S = 30


class PostgresqlBackend:
    """Connections to read and to write; one that a restart of the server broke is replaced before it is used."""

    kind = "postgresql"

    def __init__(self, url: URL) -> None:
        self.readers = _engine(url, READERS)
        self.writers = _engine(url, WRITERS)
        self._views = asyncio.Semaphore(VIEWS)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction.

        Raises:
            PoolTimeout: other reads had every connection for too long.
        """
        return await _transaction(self.readers, work)

    async def view(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction, and leave most connections to other reads.

        Raises:
            PoolTimeout: other reads had every connection for too long.
        """
        async with self._views:
            return await _transaction(self.readers, work)

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction; committed when it returns."""
        return await _transaction(self.writers, work)

    async def close(self) -> None:
        """Close every connection."""
        await self.readers.dispose()
        await self.writers.dispose()


def _engine(url: URL, connections: int) -> AsyncEngine:
    return create_async_engine(
        url,
        # What a transaction reads behind a lock is to be there already when the lock is taken.
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,  # they hold what was said, and errors are logged
        pool_timeout=POOL_TIMEOUT_S,
        connect_args={"timeout": CONNECT_TIMEOUT_S, "command_timeout": COMMAND_TIMEOUT_S},
    )


async def _transaction(engine: AsyncEngine, work: Callable[[Connection], T]) -> T:
    async with aclosing(await _connected(engine)) as connection, connection.begin():
        return await connection.run_sync(work)


async def _connected(engine: AsyncEngine) -> AsyncConnection:
    """Take a connection; the caller closes it.

    Raises:
        PoolTimeout: others had every connection for too long.
        Unreachable: the server was not reached, or refuses: it is starting, full, or has another password.
    """
    try:
        return await engine.connect()
    except PoolTimeout:
        raise
    except FAULTS as error:
        raise Unreachable("no connection to the database") from error
