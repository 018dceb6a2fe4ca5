"""A tracker on a database, fed by a bus, as a process has it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from exai import config
from exai.error_tracking.faults import FaultSource
from exai.error_tracking.noticing import FaultNotices
from exai.error_tracking.recovery import Recovery
from exai.error_tracking.tracker import Tracker
from exai.events.bus import EventBus
from exai.events.events import Event
from exai.monitoring.logs import Redaction
from exai.runtime.clock import Clock, SystemClock
from exai.storage.database import Database
from exai.storage.error_tracking.counting import FaultCounts
from exai.storage.error_tracking.groups import GroupTables
from exai.storage.error_tracking.recovery import UncountedCalls
from exai.storage.error_tracking.rows import GroupRow
from exai.storage.fleet.replicas import Replicas
from exai.storage.notices.writing import NOBODY, Targets

__all__ = ["Tracked", "opened", "raised_in", "tracked"]


class Tracked:
    """One process: what it notices, counts and reads."""

    def __init__(self, database: Database, clock: Clock, release: str, targets: Targets = NOBODY) -> None:
        self.database = database
        self.bus = EventBus()
        self.events: list[Event] = []
        self.bus.watch(self.events.append, Event)
        self._clock = clock
        self.run_release(release)
        self.tracker = Tracker(
            FaultCounts(database, targets),
            clock,
            Redaction(["hunter2hunter2"]),
            self.bus.publish,
            asyncio.Event(),
        )
        self.tracker.watch(self.bus)
        self.groups = GroupTables(database, clock)
        self.runs = Replicas(database, clock)
        self.recovery = Recovery(UncountedCalls(database), clock, Redaction())

    def run_release(self, release: str) -> None:
        """Notice what follows as of this release."""
        self.notices = FaultNotices(self.bus.publish, self._clock, release=release, settings_digest="d")

    def fail(self, message: str, kind: type[Exception] = RuntimeError, **known: object) -> str:
        """Notice an error of a kind, raised here."""
        return self.notices.notice(raised_in(message, kind), FaultSource.CALL, **known)  # type: ignore[arg-type]

    async def counted(self) -> list[GroupRow]:
        """Count all that was noticed, and read all groups by number."""
        await self.tracker.flush()
        return sorted(await self.groups.listed(state=None, most=100_000), key=lambda group: group.number)


def raised_in(message: str, kind: type[Exception] = RuntimeError) -> Exception:
    """Raise and catch an error, so that it has a traceback."""
    with pytest.raises(kind) as caught:
        raise kind(message)
    return caught.value


async def tracked(
    database: Database,
    clock: Clock | None = None,
    *,
    release: str = "1.0.0",
    targets: Targets = NOBODY,
) -> Tracked:
    """Begin the run of a process."""
    made = Tracked(database, clock or SystemClock(), release, targets)
    await made.runs.begin(release, "d", "host")
    return made


@asynccontextmanager
async def opened(settings: config.Database, clock: Clock | None = None) -> AsyncIterator[Tracked]:
    """Another process on the database of these settings."""
    database = await Database.open(settings, data_dir=None)  # type: ignore[arg-type]
    try:
        yield await tracked(database, clock)
    finally:
        await database.close()
