"""The rows of replicas: what ran, with which settings, in which state it is, and until when it was alive."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, select, update

from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.storage.dialects import database_time, upsert
from exai.storage.fleet.heartbeat import DRAINING, GONE, SERVING
from exai.storage.fleet.leases import HOUSEKEEPER
from exai.storage.fleet.runs import tag_of
from exai.storage.fleet.schema import leases, replicas
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["LivingReplica", "ReplicaRow", "Replicas"]

SHOWN_FOR = timedelta(days=1)
"""After the last beat of one that did not end in order."""

ALIVE_S = 60.0
"""A replica whose latest beat is older is shown to nobody as one that serves."""


class ReplicaRow(msgspec.Struct, frozen=True):
    """One life of a daemon."""

    run_id: str
    tag: str
    address: str | None
    release: str
    settings_digest: str
    host: str
    state: str
    began_at: datetime
    beat_at: datetime
    samples: str

    @property
    def ended_at(self) -> datetime | None:
        """When it ended in order; `None`: it runs, or its process died."""
        return self.beat_at if self.state == GONE else None


class LivingReplica(msgspec.Struct, frozen=True):
    """One that has not ended in order, as it stands now."""

    row: ReplicaRow
    beat_age_s: float
    """Since its last beat, by the database's clock."""
    is_late: bool
    """Whether that is longer than a lease."""
    is_housekeeper: bool


class Replicas:
    """Keeps the row of this replica, and reads those of others."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def begin(self, release: str, settings_digest: str, host: str) -> None:
        """Say that this process serves.

        Raises:
            StoreFailed: the database is out of reach.
        """
        now, run_id = self._clock.utc(), self._database.run_id
        row = ReplicaRow(
            run_id, tag_of(run_id), None, release, settings_digest, host, SERVING, now, now, "{}"
        )
        await self._database.write(_begin, msgspec.structs.asdict(row) | {"fault_batch": 0})

    async def beat(self) -> None:
        """Say on SQLite that this process is alive; on PostgreSQL `storage.fleet.beating` does.

        Raises:
            StoreFailed: the database is out of reach.
        """
        await self._database.write(_note, (self._database.run_id, {"beat_at": self._clock.utc()}))

    def drain_soon(self) -> None:
        """Say that this process takes nobody new, and ends with the calls that it has; it goes on to beat."""
        self._database.write_soon(_note, (self._database.run_id, {"state": DRAINING}))

    def end_soon(self) -> None:
        """Say that this process ends in order."""
        ended = {"beat_at": self._clock.utc(), "state": GONE}
        self._database.write_soon(_note, (self._database.run_id, ended))

    async def not_gone(self, lease_s: float) -> list[LivingReplica]:
        """Read the replicas that have beaten within a day and have not ended in order, the oldest first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        here = self._clock.utc()

        def read(connection: Connection) -> list[LivingReplica]:
            now = database_time(connection, here)
            keeper = select(leases.c.holder).where(leases.c.name == HOUSEKEEPER, leases.c.until > now)
            holder = connection.scalar(keeper)
            query = _SELECT.where(replicas.c.state != GONE, replicas.c.beat_at > now - SHOWN_FOR)
            rows = [ReplicaRow(*row) for row in connection.execute(query.order_by(replicas.c.began_at))]
            ages = [(now - row.beat_at).total_seconds() for row in rows]
            return [
                LivingReplica(row, age, age > lease_s, row.run_id == holder)
                for row, age in zip(rows, ages, strict=True)
            ]

        return await self._database.read(read)

    async def drain(self, tag: str, lease_s: float) -> bool:
        """Have a replica take nobody new, from its next beat on; whether one that beats has this tag.

        Raises:
            StoreFailed: it goes on as it was, or nobody knows.
        """
        return await self._database.write(_drain, (tag, self._clock.utc(), timedelta(seconds=lease_s)))

    async def latest(self, most: int) -> list[ReplicaRow]:
        """Read the latest replicas, newest first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = _SELECT.order_by(replicas.c.began_at.desc()).limit(most)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [ReplicaRow(*row) for row in rows]

    async def others(self) -> list[ReplicaRow]:
        """Read the other replicas that serve now, the oldest first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        since = self._clock.utc() - timedelta(seconds=ALIVE_S)
        row = replicas.c
        query = _SELECT.where(row.beat_at >= since, row.state != GONE, row.run_id != self._database.run_id)
        in_order = query.order_by(row.began_at)
        rows = await self._database.read(lambda connection: connection.execute(in_order).all())
        return [ReplicaRow(*row) for row in rows]

    async def between(self, began: datetime, ended: datetime) -> list[ReplicaRow]:
        """Read the replicas that were alive at some moment of a period, the oldest first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = _SELECT.where(replicas.c.began_at < ended, replicas.c.beat_at >= began)
        in_order = query.order_by(replicas.c.began_at)
        rows = await self._database.read(lambda connection: connection.execute(in_order).all())
        return [ReplicaRow(*row) for row in rows]


_SELECT = select(*(replicas.c[name] for name in ReplicaRow.__struct_fields__)).where(
    replicas.c.tag.is_not(None)
)
_BEGIN = upsert(replicas, ("tag", "address", "release", "settings_digest", "host", "state", "began_at"))
"""On PostgreSQL the row is there since the database was opened. The beat stays as it is: it is the database's."""


@row_by_row(LockGroup.ERRORS)
def _begin(connection: Connection, row: dict[str, Any]) -> None:
    _BEGIN.execute(connection, row)


@row_by_row(LockGroup.ERRORS)
def _drain(connection: Connection, parameters: tuple[str, datetime, timedelta]) -> bool:
    tag, here, lease = parameters
    is_alive = replicas.c.beat_at > database_time(connection, here) - lease
    serves = (replicas.c.tag == tag, replicas.c.state.in_((SERVING, DRAINING)), is_alive)
    return bool(connection.execute(update(replicas).where(*serves).values(state=DRAINING)).rowcount)


@row_by_row(LockGroup.ERRORS)
def _note(connection: Connection, parameters: tuple[str, dict[str, Any]]) -> None:
    run_id, changed = parameters
    connection.execute(update(replicas).where(replicas.c.run_id == run_id).values(changed))
