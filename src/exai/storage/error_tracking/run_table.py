"""The rows of runs: what ran, with which settings, and until when it was alive."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, update

from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.storage.error_tracking.schema import runs
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["RunRow", "RunTable"]


class RunRow(msgspec.Struct, frozen=True):
    """One life of a daemon."""

    run_id: str
    release: str
    settings_digest: str
    host: str
    started: datetime
    heartbeat: datetime
    ended: datetime | None


class RunTable:
    """Keeps the row of this run, and reads those of others."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def begin(self, release: str, settings_digest: str, host: str) -> None:
        """Say that this process runs.

        Raises:
            StoreFailed: the database is out of reach.
        """
        now = self._clock.utc()
        row = RunRow(self._database.run_id, release, settings_digest, host, now, now, None)
        await self._database.write(_begin, msgspec.structs.asdict(row) | {"fault_batch": 0})

    async def beat(self) -> None:
        """Say that this process is alive.

        Raises:
            StoreFailed: the database is out of reach.
        """
        await self._database.write(_note, (self._database.run_id, {"heartbeat": self._clock.utc()}))

    def end_soon(self) -> None:
        """Say that this process ends in order."""
        now = self._clock.utc()
        self._database.write_soon(_note, (self._database.run_id, {"heartbeat": now, "ended": now}))

    async def latest(self, most: int) -> list[RunRow]:
        """Read the latest runs, newest first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = (
            select(*(runs.c[name] for name in RunRow.__struct_fields__))
            .order_by(runs.c.started.desc())
            .limit(most)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [RunRow(*row) for row in rows]

    async def between(self, began: datetime, ended: datetime) -> list[RunRow]:
        """Read the runs that were alive at some moment of a period, the oldest first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = (
            select(*(runs.c[name] for name in RunRow.__struct_fields__))
            .where(runs.c.started < ended, runs.c.heartbeat >= began)
            .order_by(runs.c.started)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [RunRow(*row) for row in rows]


@row_by_row(LockGroup.ERRORS)
def _begin(connection: Connection, row: dict[str, Any]) -> None:
    connection.execute(insert(runs).values(row))


@row_by_row(LockGroup.ERRORS)
def _note(connection: Connection, parameters: tuple[str, dict[str, Any]]) -> None:
    run_id, changed = parameters
    connection.execute(update(runs).where(runs.c.run_id == run_id).values(changed))
