"""Deletes copies at providers that nobody wants any more: each file by a job of its own.

The order of truth: the copy is condemned, then the job begins, then the file goes, then the row says so. A crash
between two of them leaves what the next round, or the job, goes on with; a file is never deleted while somebody may
still be shown it. A job that gave up leaves its row `undeleted`, which is reported and can be begun again.
"""

from functools import partial

import structlog

from exai.config import Jobs as JobSettings
from exai.jobs.job import Jobs, State
from exai.jobs.kinds import Done, End, Kind, RunningJob, StepResult
from exai.providers.remote_files.remote_files import RemoteFiles
from exai.storage.files.copies import CopyTables
from exai.storage.files.copy_rows import CondemnedCopy, Store

__all__ = ["DELETE_UPLOAD", "UploadDeletions"]

_log = structlog.get_logger(__name__)

DELETE_UPLOAD = "delete_upload"
DAY_S = 86_400.0
PAGE = 1_000
"""Condemned copies that are read at once."""


class UploadDeletions:
    """Condemns unused copies, begins the jobs of condemned ones, and runs these."""

    def __init__(self, remote: RemoteFiles, tables: CopyTables) -> None:
        self._remote = remote
        self._tables = tables
        self._begun: set[str] = set()
        """Keys of jobs that this process began or found."""

    def kind(self, settings: JobSettings) -> Kind:
        """The kind of job that deletes one file."""
        return Kind(
            DELETE_UPLOAD,
            self.run,
            keep_done_s=settings.keep_done_days * DAY_S,
            keep_dead_s=settings.keep_dead_days * DAY_S,
        )

    async def delete_unused(self, jobs: Jobs) -> int:
        """Condemn what was not used for long, and begin the jobs; how many those are.

        Raises:
            StoreFailed: a database did not keep it.
        """
        await self._remote.condemn_unused()
        self._begun.clear()
        return await self.start_jobs(jobs)

    async def settle_lost(self, jobs: Jobs) -> int:
        """Look for copies whose answer was lost, and begin the jobs of those that nobody wants.

        Raises:
            StoreFailed: a database did not keep it.
            ProviderFault: a provider cannot be asked.
        """
        settled = await self._remote.settle_lost()
        return settled and await self.start_jobs(jobs)

    async def start_jobs(self, jobs: Jobs) -> int:
        """Begin a job for whatever is condemned; how many condemned files there are.

        A job that is known already is not begun again, so this completes what a crash left out. What became of
        jobs that were begun is looked at by `delete_unused`.

        Raises:
            StoreFailed: a database did not keep it.
        """
        count = 0
        page = await self._tables.condemned(PAGE)
        while page:
            for file in page:
                await self._start_job(jobs, file)
            count += len(page)
            page = await self._tables.condemned(PAGE, after=page[-1])
        return count

    async def run(self, job: RunningJob) -> End:
        """Delete one file: at the provider, then its row.

        Raises:
            ProviderFault: the provider did not do it; the job is tried again.
        """
        provider, account, file_id = (
            str(job.arguments[name]) for name in ("provider", "account", "remote_id")
        )
        file = CondemnedCopy(provider, account, file_id, job.principal, 0)
        how: StepResult = await job.step(
            "delete", partial(self._remote.delete, Store(provider, account), file_id)
        )
        await job.step("forget", partial(self._remote.confirm_deleted, file, str(how or "deleted")))
        return Done()

    async def _start_job(self, jobs: Jobs, file: CondemnedCopy) -> None:
        key = f"{file.provider}/{file.account}/{file.provider_file_id}"
        if file.attempts:
            key = f"{key}/{file.attempts}"
        if key in self._begun:
            return
        job_id = await jobs.start(
            DELETE_UPLOAD,
            {"provider": file.provider, "account": file.account, "remote_id": file.provider_file_id},
            key=key,
            principal=file.owner,
        )
        self._begun.add(key)
        job = await jobs.find(job_id)
        if job is not None and job.state is State.DEAD:
            code = (job.last_error or "").partition(":")[0] or "provider_failed"
            if await self._tables.give_up(file, code):
                _log.error("a file at a provider could not be deleted", provider=file.provider, error=code)
