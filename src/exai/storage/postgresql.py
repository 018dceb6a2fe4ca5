"""PostgreSQL through asyncpg; the same synchronous work as on SQLite runs on its connections.

Reads have a pool of their own: however many wait for it, what was paid for is written, the lock that shows that this
process lives is kept, and a check of the database asks the server itself.
"""

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import TypeVar

from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from exai.storage.faults import FAULTS, Unreachable
from exai.storage.runs import began_at

__all__ = ["PostgresqlBackend", "PostgresqlRuns"]

T = TypeVar("T")

READERS = 6
VIEWS = 2
"""Of the readers, for pages of people."""
WRITERS = 3
"""One for each who uses them: the group commit, the trial write of a check, and the lock of the run. None waits."""
CONNECT_TIMEOUT_S = 10
POOL_TIMEOUT_S = 10
"""How long a read waits for a connection that others use."""
COMMAND_TIMEOUT_S = 30
GRACE_S = 10.0
"""After a restart of the server, until runs that began before it are judged by their locks."""

_TRY_LOCK = text("SELECT pg_try_advisory_lock(:key)")
_MAY_RETURN = text(
    "SELECT pg_postmaster_start_time() > to_timestamp(:began)"
    " AND clock_timestamp() < pg_postmaster_start_time() + make_interval(secs => :grace_s)"
)
"""Whether the server restarted during a run, and so lately that its process may not have its lock again."""


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


class PostgresqlRuns:
    """Advisory locks, each held by a session of its own; a pooler in transaction mode would not keep it.

    A restart of the server releases all of them. Every process takes its own anew, and for as long as that may take
    no run that began before the restart counts as over.
    """

    def __init__(self, backend: PostgresqlBackend) -> None:
        self._backend = backend
        self._run_id: str | None = None
        self._held: AsyncConnection | None = None

    async def begin(self, run_id: str) -> None:
        """Hold this run's lock until `end`."""
        self._run_id = run_id
        await self._take(run_id)

    async def keep(self) -> None:
        """Take the lock anew if the session that held it has gone.

        Raises:
            OSError, SQLAlchemyError: the server is out of reach.
        """
        if self._held is not None:
            try:
                await self._held.execute(text("SELECT 1"))
            except FAULTS:
                await self._let_go()
        if self._held is None and self._run_id is not None:
            await self._take(self._run_id)

    async def is_over(self, run_id: str) -> bool:
        """Whether another run's process has gone."""
        async with aclosing(await _connected(self._backend.readers)) as connection:
            if await connection.scalar(_MAY_RETURN, {"began": began_at(run_id), "grace_s": GRACE_S}):
                return False
            taken = await connection.scalar(_TRY_LOCK, {"key": _key(run_id)})
            if taken:
                await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _key(run_id)})
        return bool(taken)

    async def end(self) -> None:
        """Release the lock."""
        self._run_id = None
        await self._let_go()

    async def _take(self, run_id: str) -> None:
        """Take the lock, unless a session of ours that the server has not missed yet still has it."""
        connection = await _connected(self._backend.writers)
        try:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            if await connection.scalar(_TRY_LOCK, {"key": _key(run_id)}):
                self._held = connection
        finally:
            if self._held is not connection:
                await connection.close()

    async def _let_go(self) -> None:
        """Close the session; what it held must not go back into the pool with it."""
        held, self._held = self._held, None
        if held is not None:
            with suppress(*FAULTS):
                await held.invalidate()
            await held.close()


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


def _key(run_id: str) -> int:
    return int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:8], "big", signed=True)
