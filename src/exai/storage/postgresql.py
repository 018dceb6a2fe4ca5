"""PostgreSQL through asyncpg; the same synchronous work as on SQLite runs on its connections."""

import hashlib
from collections.abc import Callable
from contextlib import aclosing
from typing import TypeVar

from sqlalchemy import URL, Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from exai.storage.faults import FAULTS, Unreachable

__all__ = ["PostgresqlBackend", "PostgresqlRuns"]

T = TypeVar("T")

CONNECT_TIMEOUT_S = 10
COMMAND_TIMEOUT_S = 30


class PostgresqlBackend:
    """A pool of connections; one that a restart of the server broke is replaced before it is used."""

    kind = "postgresql"

    def __init__(self, url: URL) -> None:
        self.engine = create_async_engine(
            url,
            pool_pre_ping=True,
            pool_size=8,
            max_overflow=0,
            hide_parameters=True,  # they hold what was said, and errors are logged
            pool_timeout=CONNECT_TIMEOUT_S,
            connect_args={"timeout": CONNECT_TIMEOUT_S, "command_timeout": COMMAND_TIMEOUT_S},
        )

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction."""
        return await self.transact(work)

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction; committed when it returns."""
        async with aclosing(await _connected(self.engine)) as connection, connection.begin():
            return await connection.run_sync(work)

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


class PostgresqlRuns:
    """Advisory locks, each held by a session of its own; a pooler in transaction mode would not keep it.

    A restart of the server releases all of them. A replica that starts right then may take a running call
    for lost; the call's own end, when it comes, puts that right.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._held: AsyncConnection | None = None

    async def begin(self, run_id: str) -> None:
        """Hold this run's lock until `end`."""
        self._held = await _connected(self._engine)
        await self._held.execution_options(isolation_level="AUTOCOMMIT")
        await self._held.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _key(run_id)})

    async def is_over(self, run_id: str) -> bool:
        """Whether another run's process has gone."""
        async with aclosing(await _connected(self._engine)) as connection:
            taken = await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _key(run_id)})
            if taken:
                await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _key(run_id)})
        return bool(taken)

    async def end(self) -> None:
        """Release the lock."""
        if self._held is not None:
            held, self._held = self._held, None
            await held.close()


async def _connected(engine: AsyncEngine) -> AsyncConnection:
    """Take a connection; the caller closes it.

    Raises:
        Unreachable: the server was not reached, or refuses: it is starting, full, or has another password.
    """
    try:
        return await engine.connect()
    except FAULTS as error:
        raise Unreachable("no connection to the database") from error


def _key(run_id: str) -> int:
    return int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:8], "big", signed=True)
