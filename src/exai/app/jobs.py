"""Runs the daemon's jobs: what their kinds are, who looks after them, and what is shown of them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import structlog

from exai.app.upload_deletions import UploadDeletions
from exai.config import Settings
from exai.errors import ExaiError
from exai.jobs.durable import DurableJobs
from exai.monitoring.metrics import Figure, Metrics
from exai.routing.router import ModelRouter
from exai.runtime import tasks
from exai.runtime.clock import Clock
from exai.storage.jobs_file import JOBS_FILE_NAME
from exai.storage.uploads import UploadTable

__all__ = ["open_jobs"]

_log = structlog.get_logger(__name__)

LOOK_S = 15.0
"""How often it is looked for what processes that have gone left behind, and jobs are counted."""

SETTLE_S = 1.0
"""How soon after an attempt of this process they are counted again."""

BEGIN_S = 6 * 3600.0
"""How often it is looked for what jobs are to be begun for."""


@asynccontextmanager
async def open_jobs(
    settings: Settings, router: ModelRouter, uploads: UploadTable, run_id: str, clock: Clock, metrics: Metrics
) -> AsyncIterator[DurableJobs]:
    """Begin and run jobs within this scope; what is not done at its end is taken up by the next run."""
    deletions = UploadDeletions(router, uploads)
    jobs = DurableJobs(
        [deletions.kind(settings.jobs)],
        settings.jobs.file or settings.data_dir / JOBS_FILE_NAME,
        run_id,
        clock,
        poll_s=settings.jobs.poll_s,
    )
    metrics.figures(lambda: _figures(jobs))
    duty = tasks.spawn(_look_after(jobs, deletions, clock), name="look after jobs")
    try:
        yield jobs
    finally:
        duty.cancel()
        with suppress(asyncio.CancelledError):
            await duty
        await jobs.close()


async def _look_after(jobs: DurableJobs, deletions: UploadDeletions, clock: Clock) -> None:
    """Take up what was left, and begin what is due, at start and from time to time."""
    begin_at = clock.monotonic()
    while True:
        try:
            await jobs.look_after()
            if clock.monotonic() >= begin_at:
                begin_at += BEGIN_S
                await deletions.begin(jobs)
                await jobs.look_after()
        except ExaiError as fault:
            _log.warning("jobs wait until they can be looked after", error=fault.code)
        except Exception:  # noqa: BLE001 - a task's root: the next round tries again
            _log.exception("looking after jobs failed")
        if await jobs.wait_for_attempt(LOOK_S):
            await asyncio.sleep(SETTLE_S)


def _figures(jobs: DurableJobs) -> Iterator[Figure]:
    for (kind, state), count in sorted(jobs.counts.items()):
        labels = (("kind", kind), ("state", state.value))
        yield Figure("jobs", "Jobs that are kept, as counted within the last 15 s.", count, labels=labels)
