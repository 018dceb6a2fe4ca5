"""The list of what the process does by itself: each duty, how often it runs, and who runs it.

`exai.runtime.periodic` runs them: the services' duties as long as the services exist, in `exai serve` and in
`exai stdio`; those of a port while it is open.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from exai.app.monitoring import Monitoring
from exai.app.storage import Storage
from exai.app.upload_deletions import UploadDeletions
from exai.app.watching.notification import Notification
from exai.config import Settings
from exai.dashboard.operations import Identity
from exai.dispatch.oversight import Oversight
from exai.events.incidents import record_incident
from exai.files.store.measures import StoreMeasures
from exai.files.store.resumable import ResumableUploads
from exai.files.store.shelf import Shelf
from exai.jobs.durable import DurableJobs
from exai.monitoring import loop_lag
from exai.monitoring.auditor.auditor import Auditor
from exai.monitoring.auditor.explaining import Explainer
from exai.monitoring.baselines.baselines import Baselines
from exai.monitoring.baselines.rollups import Rollups
from exai.routing.reachability import Reachability
from exai.runtime.clock import Clock, ScaledClock
from exai.runtime.periodic import Duty, Scheduler
from exai.storage.notices.deliveries import Deliveries
from exai.transports.doors import McpDoors
from exai.web.credential_watch import CredentialWatcher

__all__ = [
    "auditor_duties",
    "call_duties",
    "file_duties",
    "job_duties",
    "mcp_port_duties",
    "notice_duties",
    "readiness_duties",
    "run_duties",
    "stdio_duties",
]

FEW_TIMES_A_DAY_S = 6 * 3600.0
REVOCATIONS_S = 0.5
REVOCATIONS_SLOWEST_S = 5.0
"""While the database is away."""
CREDENTIALS_S = 0.25
"""By how much an expiry may be noticed late. It is judged by the wall clock, so no timer can be set for it."""
SESSIONS_S = 1.0
RUN_LOCK_S = 1.0
LOST_CALLS_S = 30.0
CONDEMNED_S = 60.0
"""How soon copies are deleted that another process condemned."""
LOST_UPLOADS_S = 600.0
EXPIRED_UPLOADS_S = 900.0
MEASURES_S = 60.0
USE_S = 10.0
ROLLUPS_S = 60.0
BASELINES_S = 10.0
FOLLOW_BASELINES_S = 5.0
"""How soon the spans of every call are kept after a baseline began, which another process may have done."""
FOLD_S = 1.0
QUIET_S = 60.0
EXPLAIN_S = 120.0
"""Between two requests of the auditor to a model."""
NOTICES_S = 5.0
"""How soon is looked for notices that another process, or an event that says nothing, wrote down."""
JOBS_S = 15.0
"""How soon the jobs of a process that ended are recovered by another one."""

_Housekeeping = partial(Duty, every_s=FEW_TIMES_A_DAY_S, at_start=True, role="housekeeper", removes=True)
"""Deletes what is past its age."""


@asynccontextmanager
async def run_duties(
    settings: Settings, storage: Storage, monitoring: Monitoring, identity: Identity, clock: Clock
) -> AsyncIterator[Scheduler]:
    """Run the duties of every process; the scheduler takes those of a port as well."""

    def record(error: Exception, duty: str) -> None:
        record_incident(error, where=f"duty {duty}", publish=monitoring.bus.publish)

    speed = clock.speed if isinstance(clock, ScaledClock) else 1.0
    scheduler = Scheduler(clock, storage.database.beats, on_unforeseen=record, speed=speed)
    monitoring.metrics.read_samples(scheduler.samples)
    duties = (
        *_process_duties(settings, storage, monitoring, identity),
        *_rollup_duties(settings, storage, clock),
    )
    async with scheduler.running(*duties):
        yield scheduler


def _process_duties(
    settings: Settings, storage: Storage, monitoring: Monitoring, identity: Identity
) -> tuple[Duty, ...]:
    keep_days, keep_hours = settings.database.keep_calls_days, settings.idempotency.keep_hours
    return (
        Duty(
            name="measure_loop_lag",
            run=monitoring.loop_lag.tick,
            every_s=loop_lag.INTERVAL_S,
            jitter=0.0,
        ),
        Duty(
            name="follow_revocations",
            run=identity.authenticator.follow,
            every_s=REVOCATIONS_S,
            slowest_retry_s=REVOCATIONS_SLOWEST_S,
        ),
        *_membership_duties(storage),
        _Housekeeping(name="prune_journal", run=partial(storage.journal.prune, keep_days)),
        _Housekeeping(name="prune_use", run=partial(storage.use.prune, keep_days)),
        _Housekeeping(name="prune_guarded_calls", run=storage.guarded.prune),
        _Housekeeping(name="prune_budget_grants", run=storage.budgets.prune),
        _Housekeeping(
            name="prune_conversations",
            run=partial(storage.archive.prune, settings.conversations.keep_days),
        ),
        _Housekeeping(
            name="prune_workflows", run=partial(storage.workflows.prune, settings.conversations.keep_days)
        ),
        _Housekeeping(name="prune_tasks", run=storage.tasks.prune),
        _Housekeeping(name="prune_idempotent_calls", run=partial(storage.idempotent_calls.prune, keep_hours)),
        _Housekeeping(name="prune_auditor", run=storage.windows.prune),
        _Housekeeping(name="prune_tokens", run=identity.authority.prune),
        # Not the housekeeper's: private keys are files in each process's own data folder.
        Duty(
            name="delete_retired_keys",
            run=identity.authority.delete_retired_keys,
            every_s=FEW_TIMES_A_DAY_S,
            at_start=True,
        ),
    )


def _membership_duties(storage: Storage) -> tuple[Duty, ...]:
    """List what keeps this process among the living, where it does not beat, and what is done about the dead."""
    beats = storage.database.beats
    wake = None if beats is None else beats.found_over
    lost = Duty(
        name="mark_lost_calls",
        run=storage.journal.sweep,
        every_s=LOST_CALLS_S,
        role="housekeeper",
        wake=wake,
    )
    if beats is not None:
        return (lost,)
    return (Duty(name="keep_run_lock", run=storage.database.show_alive, every_s=RUN_LOCK_S), lost)


def _rollup_duties(settings: Settings, storage: Storage, clock: Clock) -> tuple[Duty, ...]:
    rollups = Rollups(storage.measured, storage.rollups, clock, settings.timeouts.call_s)
    return (
        Duty(name="make_rollups", run=rollups.make, every_s=ROLLUPS_S, at_start=True, role="housekeeper"),
        _Housekeeping(name="prune_rollups", run=storage.rollups.prune),
        Duty(
            name="end_baselines",
            run=storage.baselines.end_due,
            every_s=BASELINES_S,
            at_start=True,
            role="housekeeper",
        ),
    )


def job_duties(jobs: DurableJobs, deletions: UploadDeletions, condemned: asyncio.Event) -> tuple[Duty, ...]:
    """List the duties of a process that runs jobs; `condemned` is set when it condemned copies."""
    return (
        Duty(name="maintain_jobs", run=jobs.maintain, every_s=JOBS_S, at_start=True, wake=jobs.attempted),
        Duty(
            name="delete_condemned_uploads",
            run=partial(deletions.start_jobs, jobs),
            every_s=CONDEMNED_S,
            at_start=True,
            wake=condemned,
        ),
        Duty(
            name="settle_lost_uploads",
            run=partial(deletions.settle_lost, jobs),
            every_s=LOST_UPLOADS_S,
            at_start=True,
            role="housekeeper",
        ),
        _Housekeeping(
            name="delete_unused_uploads", run=partial(deletions.delete_unused, jobs), removes=False
        ),
    )


def notice_duties(jobs: DurableJobs, notification: Notification, deliveries: Deliveries) -> tuple[Duty, ...]:
    """List the duties of a process that tells webhooks; without any it only forgets what it told before."""
    pruning = _Housekeeping(name="prune_deliveries", run=deliveries.prune)
    if not notification.webhooks:
        return (pruning,)
    send = partial(notification.start_jobs, jobs)
    return (
        pruning,
        Duty(name="send_notices", run=send, every_s=NOTICES_S, at_start=True, wake=notification.wake),
    )


def file_duties(shelf: Shelf, uploads: ResumableUploads, measures: StoreMeasures) -> tuple[Duty, ...]:
    """List the duties of a process that has a store of files."""
    return (
        # Not the housekeeper's: what a process was receiving lies in its machine's own folder.
        Duty(name="sweep_file_uploads", run=shelf.sweep, every_s=FEW_TIMES_A_DAY_S, at_start=True),
        Duty(name="sweep_resumable_uploads", run=uploads.sweep, every_s=EXPIRED_UPLOADS_S, at_start=True),
        Duty(name="measure_file_store", run=measures.refresh, every_s=MEASURES_S, at_start=True),
        Duty(name="delete_unused_contents", run=shelf.collect, every_s=FEW_TIMES_A_DAY_S, at_start=True),
    )


def mcp_port_duties(doors: McpDoors) -> tuple[Duty, ...]:
    """List the duties of a process that serves the MCP port."""
    return (
        _check_credentials(doors.watcher),
        Duty(name="sweep_sessions", run=doors.sweep, every_s=SESSIONS_S),
    )


def readiness_duties(reachability: Reachability) -> tuple[Duty, ...]:
    """List the duties of a process whose readiness is asked for."""
    return (
        Duty(
            name="check_providers",
            run=reachability.refresh,
            every_s=FEW_TIMES_A_DAY_S,
            wake=reachability.wanted,
        ),
    )


def call_duties(oversight: Oversight, baselines: Baselines) -> tuple[Duty, ...]:
    """List the duties of a process that answers calls."""

    async def follow_baselines() -> None:
        oversight.spans.keeps_all = await baselines.any_collects()

    return (
        Duty(name="write_use", run=oversight.use.flush, every_s=USE_S),
        Duty(name="follow_baselines", run=follow_baselines, every_s=FOLLOW_BASELINES_S, at_start=True),
    )


def auditor_duties(auditor: Auditor, explainer: Explainer | None) -> tuple[Duty, ...]:
    """List the duties of a process that watches itself; `explainer` where a model explains."""
    watching = (
        Duty(name="fold_events", run=auditor.fold, every_s=FOLD_S, jitter=0.0),
        Duty(name="end_observations", run=auditor.end_quiet, every_s=QUIET_S, at_start=True),
    )
    if explainer is None:
        return watching
    return (*watching, Duty(name="explain_observations", run=explainer.explain, every_s=EXPLAIN_S))


def stdio_duties(watcher: CredentialWatcher) -> tuple[Duty, ...]:
    """List the duties of a process that serves its parent over stdin and stdout."""
    return (_check_credentials(watcher),)


def _check_credentials(watcher: CredentialWatcher) -> Duty:
    return Duty(
        name="check_credentials", run=watcher.check_if_due, every_s=CREDENTIALS_S, wake=watcher.changed
    )
