"""Builds what notices faults, counts them and keeps them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog

from exai.app.faults.failed_starts import FailedStarts
from exai.app.faults.investigations import Investigations
from exai.app.faults.release import running_release, settings_digest
from exai.app.monitoring import Monitoring
from exai.app.storage import Storage
from exai.app.watching.sources import open_sources_of
from exai.config import Settings
from exai.config.tree import secret_values
from exai.error_tracking.console import Console
from exai.error_tracking.fingerprints import fingerprint
from exai.error_tracking.ingestion.intake import ReportIntake
from exai.error_tracking.investigation.gathering.suspects import FirstSuspects
from exai.error_tracking.known_groups import KnownGroups, follow_groups
from exai.error_tracking.noticing import FaultNotices, FaultSeen
from exai.error_tracking.recovery import Recovery
from exai.error_tracking.sources import watch_sources
from exai.error_tracking.tracker import Tracker
from exai.events.bus import EventBus
from exai.monitoring.logs import Redaction
from exai.runtime.clock import Clock
from exai.runtime.periodic import Duty, Scheduler
from exai.storage.database import Database
from exai.storage.error_tracking.counting import FaultCounts
from exai.storage.error_tracking.following import GroupChanges
from exai.storage.error_tracking.projects import ProjectTables
from exai.storage.error_tracking.recovery import UncountedCalls
from exai.storage.error_tracking.retention import FaultRetention
from exai.storage.fleet.replicas import Replicas
from exai.storage.notices.writing import Targets

__all__ = ["FaultTracking", "open_fault_tracking"]

_log = structlog.get_logger(__name__)

COUNT_S = 2.0
"""How soon faults are counted at the latest that could not be counted at once."""
HEARTBEAT_S = 10.0
RECOVER_S = 30.0
FOLLOW_S = 5.0
"""How soon a failed call is told what other processes counted and people decided."""
PRUNE_S = 6 * 3600.0

_Housekeeping = partial(Duty, at_start=True, role="housekeeper")
"""One process does it for all."""


@dataclass(frozen=True)
class FaultTracking:
    """What others need of it."""

    notices: FaultNotices
    tracker: Tracker
    console: Console
    replicas: Replicas
    known: KnownGroups
    investigations: Investigations
    intake: ReportIntake


@asynccontextmanager
async def open_fault_tracking(
    settings: Settings,
    storage: Storage,
    monitoring: Monitoring,
    clock: Clock,
    scheduler: Scheduler,
    *,
    demo: bool = False,
) -> AsyncIterator[FaultTracking]:
    """Notice and count faults until the scope is left, what ends it included; leaving counts the last ones.

    Raises:
        StoreFailed: the database is out of reach.
    """
    database, bus, wake = storage.database, monitoring.bus, asyncio.Event()
    redaction = Redaction(secret_values(settings))
    release, digest = running_release(), settings_digest(settings, demo=demo)
    notices = FaultNotices(bus.publish, clock, release=release, settings_digest=digest)
    targets = Targets.of(settings.notify)
    tracker = Tracker(FaultCounts(database, targets), clock, redaction, bus.publish, wake)
    tracker.watch(bus)
    monitoring.metrics.read_samples(tracker.samples)
    replicas = Replicas(database, clock)
    await replicas.begin(release, digest, socket.gethostname())
    recovery = Recovery(UncountedCalls(database, targets), clock, redaction)
    investigations = Investigations(database, bus, clock, settings.investigation, targets)
    retention = FaultRetention(database, clock, settings.errors.keep_days)
    known, follow = KnownGroups(), asyncio.Event()
    sources = open_sources_of(ProjectTables(database, clock), settings.investigation.repository)
    console = Console(database, clock, FirstSuspects(sources), follow.set)
    following = follow_groups(known, GroupChanges(database), clock, bus, follow)
    duties = (
        Duty(name="count_faults", run=tracker.gather, every_s=COUNT_S, wake=wake),
        *_beat(database, replicas),
        _Housekeeping(name="recover_fault_counts", run=recovery.run, every_s=RECOVER_S),
        Duty(name="follow_error_groups", run=following.run, every_s=FOLLOW_S, at_start=True, wake=follow),
        _Housekeeping(name="prune_faults", run=retention.prune, every_s=PRUNE_S, removes=True),
    )
    try:
        async with scheduler.running(*duties):
            with watch_sources(bus, notices):
                await FailedStarts(settings).count(bus, tracker, ProjectTables(database, clock))
                intake = _intake(database, clock, bus, tracker)
                yield FaultTracking(notices, tracker, console, replicas, known, investigations, intake)
    finally:
        await tracker.close()
        replicas.end_soon()


def _beat(database: Database, replicas: Replicas) -> Iterator[Duty]:
    """Yield the duty that beats on SQLite; on PostgreSQL every process does for as long as it has the database."""
    if database.beats is None:
        yield Duty(name="beat", run=replicas.beat, every_s=HEARTBEAT_S)


def _intake(database: Database, clock: Clock, bus: EventBus, tracker: Tracker) -> ReportIntake:
    return ReportIntake(
        ProjectTables(database, clock),
        clock,
        notice=lambda fault: bus.publish(FaultSeen(fault, fingerprint(fault))),
        settled=tracker.flush,
        lost=lambda: tracker.lost,
    )
