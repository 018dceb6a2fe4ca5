"""Runs on PostgreSQL: each keeps a row, beats by the database's clock, and judges others by their beats.

A beat is a transaction of its own, outside the batches of the group writer, on a connection that nobody else waits
for. It writes the row, reads those of others, and takes or renews the lease of the housekeeper.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection, delete, func, select, update

from exai import config
from exai.runtime import tasks
from exai.runtime.samples import Sample
from exai.runtime.version import __version__
from exai.storage.dialects import upsert
from exai.storage.faults import FAULTS
from exai.storage.fleet import leases
from exai.storage.fleet.heartbeat import DRAINING, GONE, SERVING, Beat, Heartbeat
from exai.storage.fleet.schema import replicas

__all__ = ["BeatingRuns", "Transactions"]

T = TypeVar("T")

OVER = "over"
"""The state of a daemon that stopped beating, in the metric; its row has the one in which it died."""
KNOWN_FOR_S = 60.0
"""After its last beat, for how long a run is in the picture; three leases, if that is longer."""
LEAST_DEADLINE_S = 1.0
"""Of a beat. One that hangs must end long before the lease, so that the next can find the server back."""


class Transactions(Protocol):
    """The connections that beats and look-ups use."""

    async def read(self, work: Callable[[Connection], T]) -> T: ...

    async def transact(self, work: Callable[[Connection], T]) -> T: ...


class BeatingRuns:
    """The row of this run and its beat, and a test of others'."""

    def __init__(self, database: Transactions, settings: config.Fleet) -> None:
        self._database = database
        self._settings = settings
        self._heartbeat = Heartbeat(settings.lease_s)
        self._run_id = ""
        self._beating: asyncio.Task[None] | None = None
        self._leads_until = 0.0
        self._may_lead = False
        self.samples: Callable[[], Mapping[str, float]] = dict
        """What the row tells of this process, for whoever looks at the fleet."""
        self.is_draining = False
        """Whether its row says that it is to take nobody new."""
        self.found_over = asyncio.Event()
        """Set when a run turned out to be over."""

    async def begin(self, run_id: str) -> None:
        """Write the row, and beat until `end`.

        Raises:
            OSError, SQLAlchemyError: the server is out of reach.
        """
        self._run_id = run_id
        await self.keep()
        self._beating = tasks.spawn(self._beat_on(), name="beat")

    async def keep(self) -> None:
        """Beat now.

        Raises:
            OSError, SQLAlchemyError: the server is out of reach.
        """
        asked, lease_s = asyncio.get_running_loop().time(), self._settings.lease_s
        beat = _Beat(self._run_id, msgspec.json.encode(self.samples()).decode(), self._may_lead, lease_s)
        try:
            seen = await self._database.transact(beat.write)
        except BaseException:
            self._heartbeat.missed()
            raise
        self._leads_until = asked + lease_s if seen.leads else 0.0
        self.is_draining = seen.state == DRAINING
        if self._heartbeat.saw(seen.now.timestamp(), asked, seen.others):
            self.found_over.set()

    async def is_over(self, run_id: str) -> bool:
        """Whether another run's process has gone, as far as this one can know."""
        query = _FIND.where(replicas.c.run_id == run_id)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        # A run has a row before anything else names it.
        return row is None or self._heartbeat.is_over(_beat_of(row), row.now.timestamp())

    def leads(self, role: str) -> bool:
        """Whether this process has a role; it stops having it before another one can begin to."""
        return role == leases.HOUSEKEEPER and asyncio.get_running_loop().time() < self._leads_until

    def replica_counts(self) -> list[Sample]:
        """Count the daemons of the fleet by state, as the latest beat found them: `over` has ended without a word."""
        found, over = self._heartbeat.picture.values(), self._heartbeat.over
        states = Counter(
            OVER if each.run_id in over else each.state
            for each in found
            if each.serves and each.state != GONE
        )
        told = "Daemons on this database, as the latest beat of this one found them."
        return [
            Sample("replicas", told, states[state], (("state", state),))
            for state in (SERVING, DRAINING, OVER)
        ]

    def compete(self) -> None:
        """Take the housekeeper's lease when it is free, from the next beat on."""
        self._may_lead = True

    async def end(self) -> None:
        """Stop beating, and say that this run is over. A command leaves no row."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
            self._beating = None
        if self._run_id:
            async with asyncio.timeout(LEAST_DEADLINE_S):
                await self._database.transact(lambda connection: _end(connection, self._run_id))

    async def _beat_on(self) -> None:
        while True:
            await asyncio.sleep(self._settings.beat_s)
            # The reads and writes of an outage tell of it.
            with suppress(*FAULTS):
                async with asyncio.timeout(max(self._settings.beat_s, LEAST_DEADLINE_S)):
                    await self.keep()


class _Seen(msgspec.Struct, frozen=True):
    now: datetime
    others: list[Beat]
    state: str
    leads: bool


class _Beat(msgspec.Struct, frozen=True):
    """What one beat writes and reads."""

    run_id: str
    samples: str
    may_lead: bool
    lease_s: float

    def write(self, connection: Connection) -> _Seen:
        now = connection.execute(_NOW).scalar_one()
        known_for = timedelta(seconds=max(KNOWN_FOR_S, 3 * self.lease_s))
        row = {"run_id": self.run_id, "began_at": now, "beat_at": now, "samples": self.samples}
        _BEAT.execute(connection, _COMMAND | row)
        beats = [
            _beat_of(each) for each in connection.execute(_FIND.where(replicas.c.beat_at > now - known_for))
        ]
        state = next((beat.state for beat in beats if beat.run_id == self.run_id), SERVING)
        may_lead = self.may_lead and state == SERVING
        leads = may_lead and leases.take(connection, leases.HOUSEKEEPER, self.run_id, now, self.lease_s)
        return _Seen(now, beats, state, leads)


_COMMAND = {
    "tag": None,
    "release": __version__,
    "settings_digest": "",
    "host": socket.gethostname(),
    "state": SERVING,
    "fault_batch": 0,
}
"""What the row says until the process says that it serves."""

_NOW = select(func.clock_timestamp())
_FIND = select(
    replicas.c.run_id,
    replicas.c.state,
    replicas.c.beat_at,
    replicas.c.tag,
    func.clock_timestamp().label("now"),
)
_BEAT = upsert(replicas, ("beat_at", "samples"))
"""The first one writes the row, and so does the next one if an operator or a fail-over lost it."""


def _beat_of(row: Any) -> Beat:
    return Beat(row.run_id, row.state, row.beat_at.timestamp(), serves=row.tag is not None)


def _end(connection: Connection, run_id: str) -> None:
    now = connection.execute(_NOW).scalar_one()
    leases.give_up(connection, run_id, now)
    mine = replicas.c.run_id == run_id
    connection.execute(delete(replicas).where(mine, replicas.c.tag.is_(None)))
    connection.execute(update(replicas).where(mine).values(state=GONE, beat_at=now))
