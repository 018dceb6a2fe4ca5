"""Jobs that outlive the process: DBOS on a file of its own, which costs nothing until the first job."""

import asyncio
import importlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import structlog

from exai.errors import StoreFailed
from exai.events.events import Event
from exai.jobs.attempts import Attempt, Following, Outcome, Record, run_attempt
from exai.jobs.job import Counts, Job, State, check_size, job_id
from exai.jobs.kinds import Kind, Value
from exai.runtime.clock import Clock
from exai.runtime.samples import Sample
from exai.storage.fleet.runs import FileRuns
from exai.storage.jobs_file import jobs_connections, needs_maintenance

if TYPE_CHECKING:
    from exai.jobs.engine import Engine, Row

__all__ = ["DurableJobs"]

_log = structlog.get_logger(__name__)

T = TypeVar("T")

STOP_S = 2.0
"""How long steps that run may take to end when the process stops; then they are cancelled, and repeated later."""

PAGE = 500
"""Attempts that maintenance reads or deletes at a time."""

SETTLE_S = 1.0
"""How soon after an attempt the jobs are looked after: by then its end is written, and those of others too."""

_STATES = {
    "PENDING": State.RUNNING,
    "ENQUEUED": State.QUEUED,
    "DELAYED": State.WAITING,
    "CANCELLED": State.CANCELLED,
    "ERROR": State.DEAD,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": State.DEAD,
}
_ENDS = {"done": State.DONE, "dead": State.DEAD, "cancelled": State.CANCELLED, "again": State.WAITING}
_DIED_WITH_IT = "the process ended each time that it ran this job"


class DurableJobs:
    """See `exai.jobs.job.Jobs`. Belongs to one process' one event loop, and to one run of it."""

    def __init__(
        self,
        kinds: Sequence[Kind],
        file: Path,
        run_id: str,
        clock: Clock,
        *,
        publish: Callable[[Event], None],
        poll_s: float = 1.0,
    ) -> None:
        self._kinds = {kind.name: kind for kind in kinds}
        self._file = file
        self._run_id = run_id
        self._clock = clock
        self._publish = publish
        self._poll_s = poll_s
        self._runs = FileRuns(file.parent / f"{file.stem}-runs")
        self._is_known_alive = False
        self._closed = False
        self._engine: Engine | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._counts: Counts = {}
        self._settling: asyncio.TimerHandle | None = None
        self.attempted = asyncio.Event()
        """Set a moment after attempts have ended here; makes `maintain` due."""

    @property
    def counts(self) -> Counts:
        """Jobs by kind and state when they were last looked after."""
        return self._counts

    async def start(self, kind: str, arguments: Mapping[str, Value], *, key: str, principal: str) -> str:
        """See `Jobs.start`."""
        check_size(arguments, "Arguments")
        attempt = Attempt(
            job_id=job_id(self._kinds[kind].name, principal, key),
            kind=kind,
            principal=principal,
            arguments=dict(arguments),
            begun_at=self._clock.wall(),
        )
        await self._do(lambda engine: engine.enqueue(attempt))
        return attempt.job_id

    async def cancel(self, job_id: str, *, principal: str | None = None) -> bool:
        """See `Jobs.cancel`."""
        while (job := await self.find(job_id, principal=principal)) is not None and not job.state.is_over:
            await self._do(partial(_cancel_latest, job_id=job_id))
            job = await self.find(job_id)
            if job is not None and job.state is State.CANCELLED:
                return True
        return False

    async def find(self, job_id: str, *, principal: str | None = None) -> Job | None:
        """See `Jobs.find`."""
        if not self._may_have_jobs():
            return None
        rows = await self._do(lambda engine: engine.rows(job_id=job_id, principal=principal))
        return next((job for job in _jobs(rows) if job.job_id == job_id), None)

    async def list(
        self,
        *,
        kind: str | None = None,
        state: State | None = None,
        principal: str | None = None,
        limit: int = 100,
    ) -> Sequence[Job]:
        """See `Jobs.list`."""
        if not self._may_have_jobs():
            return []
        rows = await self._do(lambda engine: engine.rows(kind=kind, principal=principal))
        return [job for job in _jobs(rows) if state in {None, job.state}][:limit]

    async def pause(self, kind: str, *, paused: bool = True) -> None:
        """See `Jobs.pause`."""
        of_name = self._kinds[kind]
        await self._do(lambda engine: engine.pause(of_name, paused=paused))

    async def maintain(self) -> None:
        """Recover jobs of runs that are over and what could not be kept here, delete old jobs, and count the others.

        Run by a duty, at the start too.

        Raises:
            StoreFailed: the file cannot be used.
        """
        if self._engine is None and not await asyncio.to_thread(needs_maintenance, self._file):
            return
        over = [run for run in await self._do(lambda engine: engine.executors()) if await self._is_over(run)]
        if unrecorded := await self._do(lambda engine: engine.recover_unrecorded()):
            _log.info("recovered jobs whose end could not be kept", jobs=unrecorded)
        if over:
            recovered = await self._do(lambda engine: engine.recover(over))
            _log.info("recovered jobs of processes that ended", jobs=recovered)
        attempts = await self._attempts()
        old = _forgettable(attempts, self._kinds, self._clock.wall())
        for start in range(0, len(old), PAGE):
            await self._do(partial(_delete, attempt_ids=old[start : start + PAGE]))
        gone = set(old)
        latest = _latest([each for each in attempts if each.attempt_id not in gone])
        self._counts = Counter((each.kind, each.state) for each in latest.values())

    async def _attempts(self) -> Sequence["_KeptAttempt"]:
        """Read what is kept a page at a time: of each attempt a few words stay, and others use the file in between."""
        found: list[_KeptAttempt] = []
        while True:
            page = await self._do(partial(_page, offset=len(found)))
            found += map(_kept, page)
            if len(page) < PAGE:
                return found

    def samples(self) -> Iterator[Sample]:
        """Metrics of jobs."""
        for (kind, state), count in sorted(self._counts.items()):
            labels = (("kind", kind), ("state", state.value))
            yield Sample("jobs", "Jobs that are kept, as they were counted last.", count, labels)

    def stop(self) -> None:
        """Begin no further attempt and no further step; `close` follows."""
        if self._engine is not None:
            self._engine.stop()

    async def close(self) -> None:
        """Let steps end, for a moment, and let go of the file. What is not done is recovered by the next run."""
        self._closed = True
        if self._settling is not None:
            self._settling.cancel()
        if self._threads is not None:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._close_engine)
            self._threads.shutdown()
        await self._runs.end()

    def _close_engine(self) -> None:
        """Close the engine behind whatever was asked of it before, bringing it up included."""
        if self._engine is not None:
            self._engine.stop()
            if not self._engine.wait_until_idle(STOP_S):
                self._engine.cancel_running()
                self._engine.wait_until_idle(STOP_S)
            self._engine.close()

    async def _run(self, attempt: Attempt, record: Record) -> tuple[Outcome, Following | None]:
        try:
            return await run_attempt(
                self._kinds[attempt.kind], attempt, record, self._clock.wall, self._publish
            )
        finally:
            if self._settling is None:
                self._settling = asyncio.get_running_loop().call_later(SETTLE_S, self._settle)

    def _settle(self) -> None:
        self._settling = None
        self.attempted.set()

    async def _is_over(self, run_id: str) -> bool:
        return run_id != self._run_id and await self._runs.is_over(run_id)

    def _may_have_jobs(self) -> bool:
        return self._engine is not None or self._file.exists()

    async def _do(self, work: "Callable[[Engine], T]") -> T:
        """Run `work` in the thread of jobs, one after the other; the first brings up the engine."""
        loop = asyncio.get_running_loop()
        if self._closed:
            raise StoreFailed("Jobs are closed. Try again after the restart.")
        if self._threads is None:
            self._threads = ThreadPoolExecutor(1, thread_name_prefix="jobs")
        try:
            return await loop.run_in_executor(self._threads, lambda: work(self._launched(loop)))
        except Exception as error:
            _log.warning("the jobs file cannot be used", exc_info=error)
            raise StoreFailed(
                "The jobs file cannot be used now; the log says why. Try again later."
            ) from error

    def _launched(self, loop: asyncio.AbstractEventLoop) -> "Engine":
        if self._engine is None:
            engine: type[Engine] = importlib.import_module("exai.jobs.engine").Engine
            connections = jobs_connections(self._file)
            if not self._is_known_alive:
                asyncio.run_coroutine_threadsafe(self._runs.begin(self._run_id), loop).result()
                self._is_known_alive = True
            launched = engine(
                connections, self._run_id, list(self._kinds.values()), self._run, loop, self._poll_s
            )
            try:
                launched.launch()
            except BaseException:
                launched.close()
                raise
            self._engine = launched
        return self._engine


def _cancel_latest(engine: "Engine", job_id: str) -> None:
    if rows := engine.rows(job_id=job_id):
        engine.cancel(max(rows, key=lambda row: row.attempt.number).attempt.attempt_id)


def _jobs(rows: "Sequence[Row]") -> list[Job]:
    """Jobs by their latest attempts, newest first."""
    latest: dict[str, Row] = {}
    for row in rows:
        known = latest.get(row.attempt.job_id)
        if known is None or known.attempt.number < row.attempt.number:
            latest[row.attempt.job_id] = row
    return sorted((_job(row) for row in latest.values()), key=lambda job: job.begun_at, reverse=True)


def _job(row: "Row") -> Job:
    attempt, outcome = row.attempt, row.outcome
    state = _STATES[row.status] if outcome is None else _ENDS[outcome.end]
    error = outcome.error if outcome is not None else attempt.last_error
    if state is State.DEAD and outcome is None:
        error = _DIED_WITH_IT
    return Job(
        job_id=attempt.job_id,
        kind=attempt.kind,
        principal=attempt.principal,
        state=state,
        arguments=attempt.arguments,
        attempt=attempt.number,
        failures=attempt.failures,
        begun_at=attempt.begun_at,
        due_at=row.due_at if state is State.WAITING else None,
        ended_at=row.ended_at if state.is_over else None,
        result=outcome.result if outcome is not None and state is State.DONE else None,
        last_error=error,
    )


class _KeptAttempt(NamedTuple):
    """What maintenance needs of an attempt."""

    attempt_id: str
    job_id: str
    number: int
    kind: str
    state: State
    ended_at: float | None
    """Of its job, if it is the latest."""
    has_outcome: bool


def _page(engine: "Engine", *, offset: int) -> "list[Row]":
    return engine.rows(limit=PAGE, offset=offset)


def _delete(engine: "Engine", *, attempt_ids: Sequence[str]) -> None:
    engine.delete(attempt_ids)


def _kept(row: "Row") -> _KeptAttempt:
    attempt, job = row.attempt, _job(row)
    return _KeptAttempt(
        attempt.attempt_id,
        attempt.job_id,
        attempt.number,
        job.kind,
        job.state,
        job.ended_at,
        row.outcome is not None,
    )


def _latest(attempts: Sequence[_KeptAttempt]) -> dict[str, _KeptAttempt]:
    """Find the latest attempt of each job."""
    latest: dict[str, _KeptAttempt] = {}
    for each in attempts:
        known = latest.get(each.job_id)
        if known is None or known.number < each.number:
            latest[each.job_id] = each
    return latest


def _forgettable(attempts: Sequence[_KeptAttempt], kinds: Mapping[str, Kind], now: float) -> list[str]:
    """Ids of attempts nobody needs: of jobs past their retention all, of others those between first and latest.

    The first attempt holds the job's key.
    """
    latest = _latest(attempts)
    return [
        each.attempt_id
        for each in attempts
        if _is_old(latest[each.job_id], kinds, now)
        or (each.has_outcome and 1 < each.number < latest[each.job_id].number)
    ]


def _is_old(latest: _KeptAttempt, kinds: Mapping[str, Kind], now: float) -> bool:
    if latest.ended_at is None or (kind := kinds.get(latest.kind)) is None:
        return False
    keep_s = kind.keep_dead_s if latest.state is State.DEAD else kind.keep_done_s
    return latest.ended_at < now - keep_s
