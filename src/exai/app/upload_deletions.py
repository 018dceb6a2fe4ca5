"""Deletes at providers what nobody uses there any more: each file by a job of its own.

The order of truth: the row is condemned, then the job begins, then the file goes, then the row. A crash between two of
them leaves what the next round, or the job, goes on with; a file is never deleted while somebody may still be shown it.
"""

from functools import partial

from exai.config import Jobs as JobSettings
from exai.jobs.job import Jobs
from exai.jobs.kinds import Done, End, Kind, RunningJob
from exai.routing.router import ModelRouter
from exai.storage.uploads import CondemnedFile, UploadTable

__all__ = ["DELETE_UPLOAD", "UploadDeletions"]

DELETE_UPLOAD = "delete_upload"
DAY_S = 86_400.0
PAGE = 1_000
"""Condemned files that are read at once."""


class UploadDeletions:
    """Condemns unused files, begins their jobs, and runs these."""

    def __init__(self, router: ModelRouter, table: UploadTable) -> None:
        self._router = router
        self._table = table

    def kind(self, settings: JobSettings) -> Kind:
        """The kind of job that deletes one file."""
        return Kind(
            DELETE_UPLOAD,
            self.run,
            keep_done_s=settings.keep_done_days * DAY_S,
            keep_dead_s=settings.keep_dead_days * DAY_S,
        )

    async def start_jobs(self, jobs: Jobs) -> int:
        """Condemn what was not used for long, and begin a job for whatever is condemned; how many those are.

        A job that is known already is not begun again, so this completes what a crash left out.

        Raises:
            StoreFailed: a database did not keep it.
        """
        await self._router.condemn_uploads()
        count = 0
        page = await self._table.condemned(PAGE)
        while page:
            for file in page:
                await _start_job(jobs, file)
            count += len(page)
            page = await self._table.condemned(PAGE, after=page[-1])
        return count

    async def run(self, job: RunningJob) -> End:
        """Delete one file: at the provider, then its row.

        Raises:
            ProviderFault: the provider did not do it; the job is tried again.
        """
        provider, account, remote_id = (
            str(job.arguments[name]) for name in ("provider", "account", "remote_id")
        )
        file = CondemnedFile(provider, account, remote_id, job.principal)
        await job.step("delete", partial(self._router.delete_upload, provider, account, remote_id))
        await job.step("forget", partial(self._table.forget_condemned, file))
        return Done()


async def _start_job(jobs: Jobs, file: CondemnedFile) -> None:
    await jobs.start(
        DELETE_UPLOAD,
        {"provider": file.provider, "account": file.account, "remote_id": file.remote_id},
        key=f"{file.provider}/{file.account}/{file.remote_id}",
        principal=file.owner,
    )
