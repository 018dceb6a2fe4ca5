"""The daemon's jobs: which kinds there are, where they are kept, and the duties that maintain them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from exai.app.duties import job_duties, notice_duties
from exai.app.faults.tracking import FaultTracking
from exai.app.monitoring import Monitoring
from exai.app.storage import Storage
from exai.app.upload_deletions import UploadDeletions
from exai.app.watching.notification import Notification
from exai.config import Settings
from exai.jobs.durable import DurableJobs
from exai.providers.remote_files.remote_files import RemoteFiles
from exai.runtime.clock import Clock
from exai.runtime.periodic import Scheduler
from exai.storage.jobs_file import JOBS_FILE_NAME

__all__ = ["open_jobs"]


@asynccontextmanager
async def open_jobs(
    settings: Settings,
    storage: Storage,
    monitoring: Monitoring,
    remote: RemoteFiles,
    clock: Clock,
    scheduler: Scheduler,
    faults: FaultTracking,
    *,
    run: bool,
) -> AsyncIterator[DurableJobs | None]:
    """Begin and run jobs within this scope; what is not done at its end is recovered by the next run.

    `None` where they are not wanted, or the settings have them run elsewhere.
    """
    if not (run and settings.jobs.run):
        yield None
        return
    deletions = UploadDeletions(remote, storage.copies)
    notification = Notification(settings, storage.deliveries, clock)
    notification.watch(monitoring.bus)
    jobs = DurableJobs(
        [
            deletions.kind(settings.jobs),
            notification.kind(settings.jobs),
            faults.investigations.kind(settings.jobs),
        ],
        settings.jobs.file or settings.data_dir / JOBS_FILE_NAME,
        storage.database.run_id,
        clock,
        publish=monitoring.bus.publish,
        poll_s=settings.jobs.poll_s,
    )
    monitoring.metrics.read_samples(jobs.samples)
    monitoring.metrics.read_samples(notification.samples)
    duties = job_duties(jobs, deletions, storage.copies.deletions_due)
    try:
        async with scheduler.running(*duties, *notice_duties(jobs, notification, storage.deliveries)):
            yield jobs
    finally:
        await jobs.close()
