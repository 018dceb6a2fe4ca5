"""The daemon's jobs: which kinds there are, where they are kept, and the duties that look after them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from exai.app.duties import job_duties
from exai.app.upload_deletions import UploadDeletions
from exai.config import Settings
from exai.events.events import Event
from exai.jobs.durable import DurableJobs
from exai.routing.router import ModelRouter
from exai.runtime.clock import Clock
from exai.runtime.periodic import Scheduler
from exai.storage.jobs_file import JOBS_FILE_NAME
from exai.storage.uploads import UploadTable

__all__ = ["open_jobs"]


@asynccontextmanager
async def open_jobs(
    settings: Settings,
    router: ModelRouter,
    uploads: UploadTable,
    run_id: str,
    clock: Clock,
    scheduler: Scheduler,
    publish: Callable[[Event], None],
) -> AsyncIterator[DurableJobs]:
    """Begin and run jobs within this scope; what is not done at its end is taken up by the next run."""
    deletions = UploadDeletions(router, uploads)
    jobs = DurableJobs(
        [deletions.kind(settings.jobs)],
        settings.jobs.file or settings.data_dir / JOBS_FILE_NAME,
        run_id,
        clock,
        publish=publish,
        poll_s=settings.jobs.poll_s,
    )
    try:
        async with scheduler.running(*job_duties(jobs, deletions)):
            yield jobs
    finally:
        await jobs.close()
