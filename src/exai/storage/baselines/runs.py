"""Rows of baselines: what is collected, until when, and the report that stays when the calls are pruned.

collecting → complete       its time was over, and there was enough in it
           → insufficient   its time was over, and there was too little in it
           → stopped        somebody ended it before
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, insert, select, update

from exai.runtime.clock import Clock
from exai.storage.baselines.schema import baseline_reports, baseline_runs
from exai.storage.database import Database
from exai.storage.dialects import insert_if_absent
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["BaselineRow", "BaselineState", "BaselineTable"]

BaselineState = Literal["collecting", "complete", "insufficient", "stopped"]
MOST = 200


class BaselineRow(msgspec.Struct, frozen=True):
    """A baseline."""

    name: str
    state: BaselineState
    began_at: datetime
    planned_end: datetime
    ended_at: datetime | None
    filter: str
    note: str
    release: str
    settings_digest: str
    speed: float
    load: str | None


class _End(msgspec.Struct, frozen=True):
    name: str
    state: BaselineState
    ended_at: datetime
    made_at: datetime
    body: str


class BaselineTable:
    """Keeps baselines and their reports."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def begin(self, row: BaselineRow) -> bool:
        """Write a baseline down; return whether its name was free.

        Raises:
            StoreFailed: it was not kept.
        """
        return await self._database.write(_begin, msgspec.structs.asdict(row))

    async def end(self, row: BaselineRow, state: BaselineState, ended_at: datetime, body: str) -> bool:
        """Keep the report of a baseline that was collecting; return whether it still was.

        Raises:
            StoreFailed: it still collects.
        """
        return await self._database.write(_end, _End(row.name, state, ended_at, self._clock.utc(), body))

    async def listed(self) -> Sequence[BaselineRow]:
        """Read the baselines, the latest first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = _ROWS.order_by(baseline_runs.c.began_at.desc(), baseline_runs.c.name).limit(MOST)
        return await self._database.read(
            lambda connection: [BaselineRow(*row) for row in connection.execute(query)]
        )

    async def collecting(self) -> Sequence[BaselineRow]:
        """Read those that collect.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = _ROWS.where(baseline_runs.c.state == "collecting")
        return await self._database.read(
            lambda connection: [BaselineRow(*row) for row in connection.execute(query)]
        )

    async def named(self, name: str) -> BaselineRow | None:
        """Read one.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = _ROWS.where(baseline_runs.c.name == name)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return BaselineRow(*rows[0]) if rows else None

    async def report(self, name: str) -> str | None:
        """Read the report of one, as JSON; `None`: it has none yet.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = select(baseline_reports.c.body).where(baseline_reports.c.name == name)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return rows[0][0] if rows else None


_ROWS = select(*(baseline_runs.c[name] for name in BaselineRow.__struct_fields__))
_INSERT = insert_if_absent(baseline_runs)


@row_by_row(LockGroup.BASELINES)
def _begin(connection: Connection, row: dict[str, Any]) -> bool:
    return _INSERT.execute(connection, row).rowcount == 1


@row_by_row(LockGroup.BASELINES)
def _end(connection: Connection, end: _End) -> bool:
    of_it = (baseline_runs.c.name == end.name, baseline_runs.c.state == "collecting")
    ended = connection.execute(
        update(baseline_runs).where(*of_it).values(state=end.state, ended_at=end.ended_at)
    )
    if ended.rowcount == 0:
        return False
    connection.execute(insert(baseline_reports).values(name=end.name, made_at=end.made_at, body=end.body))
    return True
