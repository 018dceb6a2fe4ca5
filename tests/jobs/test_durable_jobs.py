"""Jobs outlive their process, and cost nothing before the first."""

import asyncio
import logging
import stat
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from exai import config
from exai.app.upload_deletions import UploadDeletions
from exai.errors import StoreFailed
from exai.jobs import durable, engine
from exai.jobs.attempts import Attempt
from exai.jobs.durable import DurableJobs
from exai.jobs.job import State
from exai.jobs.kinds import Backoff, Done, End, GiveUp, Kind, RunningJob, TryAgain
from exai.runtime.clock import ManualClock, SystemClock
from exai.storage import jobs_file
from exai.storage.fleet.runs import new_run_id
from exai.storage.jobs_file import needs_maintenance
from support.forked_runs import ForkedRuns, forked_runs
from support.waiting import wait_until

PROCESS = Path(__file__).parents[1] / "support" / "jobs_process.py"

Open = Callable[..., AbstractAsyncContextManager[DurableJobs]]


@pytest.fixture
def open_jobs(tmp_path: Path) -> Open:
    """Jobs on the test's file; one after another they are runs of it."""

    @asynccontextmanager
    async def opened(*kinds: Kind, clock: Any = None) -> AsyncIterator[DurableJobs]:
        jobs = DurableJobs(
            kinds,
            tmp_path / "jobs.sqlite",
            new_run_id(),
            clock or SystemClock(),
            publish=lambda _: None,
            poll_s=0.02,
        )
        try:
            yield jobs
        finally:
            await jobs.close()

    return opened


async def is_over(jobs: DurableJobs, job_id: str) -> bool:
    job = await jobs.find(job_id)
    return job is not None and job.state.is_over


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def _nothing(_job: RunningJob) -> End:
    return Done()


NOTHING = Kind("nothing", _nothing)


async def test_without_a_job_there_is_no_file_and_no_thread(open_jobs: Open, tmp_path: Path) -> None:
    async with open_jobs(NOTHING) as jobs:
        await jobs.maintain()
        assert await jobs.list() == []
        assert await jobs.find("job_1") is None
        assert not await jobs.cancel("job_1")
    assert files(tmp_path) == []


async def test_the_file_is_the_owners_and_its_commits_are_on_disk(open_jobs: Open, tmp_path: Path) -> None:
    async with open_jobs(NOTHING) as jobs:
        await jobs.start("nothing", {}, key="1", principal="alice")
        assert stat.S_IMODE((tmp_path / "jobs.sqlite").stat().st_mode) == 0o600
    connections = jobs_file.jobs_connections(tmp_path / "jobs.sqlite")
    with connections.connect() as connection:
        read = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous")
        }
    connections.dispose()
    assert read == {"journal_mode": "wal", "synchronous": 2}


async def test_a_job_goes_on_in_the_next_run_behind_its_last_step(open_jobs: Open, tmp_path: Path) -> None:
    steps: list[str] = []
    stuck = asyncio.Event()

    async def run(job: RunningJob) -> End:
        async def first() -> int:
            steps.append("first")
            return 1

        async def second() -> int:
            steps.append("second")
            if not stuck.is_set():
                stuck.set()
                await asyncio.sleep(3600)
            return 2

        return Done({"sum": await job.step("first", first) + await job.step("second", second)})

    kind = Kind("two_steps", run)
    async with open_jobs(kind) as jobs:
        name = await jobs.start("two_steps", {}, key="1", principal="alice")
        await stuck.wait()
        job = await jobs.find(name)
        assert job is not None
        assert job.state is State.RUNNING
    assert needs_maintenance(tmp_path / "jobs.sqlite")
    async with open_jobs(kind) as jobs:
        await jobs.maintain()
        await wait_until(lambda: is_over(jobs, name), what="the job is over")
        job = await jobs.find(name)
    assert job is not None
    assert (job.state, job.result) == (State.DONE, {"sum": 3})
    assert steps == ["first", "second", "second"]
    assert not needs_maintenance(tmp_path / "jobs.sqlite")


async def test_a_step_may_end_when_the_process_stops_and_no_further_one_begins(open_jobs: Open) -> None:
    steps: list[str] = []
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def run(job: RunningJob) -> End:
        async def slow() -> None:
            begun.set()
            await may_end.wait()
            steps.append("slow")

        async def further() -> None:
            steps.append("further")

        await job.step("slow", slow)
        await job.step("further", further)
        return Done()

    kind = Kind("slow", run)
    async with open_jobs(kind) as jobs:
        name = await jobs.start("slow", {}, key="1", principal="alice")
        await begun.wait()
        jobs.stop()
        may_end.set()
    assert steps == ["slow"]
    async with open_jobs(kind) as jobs:
        await jobs.maintain()
        await wait_until(lambda: is_over(jobs, name), what="the job is over")
    assert steps == ["slow", "further"]


async def test_closing_waits_for_an_engine_that_is_being_brought_up(open_jobs: Open, tmp_path: Path) -> None:
    async with open_jobs(NOTHING) as jobs:
        starting = asyncio.create_task(jobs.start("nothing", {}, key="1", principal="alice"))
        await asyncio.sleep(0)
        starting.cancel()
    with pytest.raises(StoreFailed, match="closed"):
        await jobs.find("job_1")
    async with open_jobs(NOTHING) as jobs:
        await jobs.maintain()
        (job,) = await jobs.list()
        await wait_until(lambda: is_over(jobs, job.job_id), what="what was begun meanwhile is over")


async def test_a_running_job_is_cancelled_in_its_step(open_jobs: Open) -> None:
    begun = asyncio.Event()
    ended: list[str] = []

    async def run(job: RunningJob) -> End:
        async def endless() -> None:
            begun.set()
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        await job.step("endless", endless)
        return Done()

    async with open_jobs(Kind("endless", run)) as jobs:
        name = await jobs.start("endless", {}, key="1", principal="alice")
        await begun.wait()
        assert await jobs.cancel(name)
        await wait_until(lambda: ended, what="the step is cancelled")
        await jobs.maintain()
        assert jobs.counts == {("endless", State.CANCELLED): 1}


async def test_a_kind_stays_paused_over_a_restart(open_jobs: Open) -> None:
    async with open_jobs(NOTHING) as jobs:
        await jobs.pause("nothing")
        name = await jobs.start("nothing", {}, key="1", principal="alice")
    async with open_jobs(NOTHING, replace(NOTHING, name="other")) as jobs:
        await jobs.maintain()
        other = await jobs.start("other", {}, key="1", principal="alice")
        await wait_until(lambda: is_over(jobs, other), what="the other kind's job is over")
        assert not await is_over(jobs, name)
        await jobs.pause("nothing", paused=False)
        await wait_until(lambda: is_over(jobs, name), what="the job is over")


async def test_what_is_old_is_forgotten_and_its_key_is_free_again(open_jobs: Open) -> None:
    clock = ManualClock(SystemClock().wall())
    runs: list[int] = []

    async def run(_job: RunningJob) -> End:
        runs.append(1)
        return TryAgain("not yet") if len(runs) < 4 else Done()

    async def dies(_job: RunningJob) -> End:
        return TryAgain("never")

    quick = Backoff(first_s=0.01, factor=1.0)
    kinds = (
        Kind("repeats", run, backoff=quick),
        Kind("dies", dies, backoff=replace(quick, give_up_after_s=0)),
    )
    async with open_jobs(*kinds, clock=clock) as jobs:
        name = await jobs.start("repeats", {}, key="1", principal="alice")
        dead = await jobs.start("dies", {}, key="1", principal="alice")
        for each in (name, dead):
            await wait_until(lambda each=each: is_over(jobs, each), what="the job is over")  # type: ignore[misc]
        await jobs.maintain()
        job = await jobs.find(name)
        assert job is not None
        assert (job.attempt, job.state) == (4, State.DONE)
        clock.advance(8 * 86_400)
        await jobs.maintain()
        assert await jobs.find(name) is None
        assert jobs.counts == {("dies", State.DEAD): 1}
        clock.advance(90 * 86_400)
        await jobs.maintain()
        assert jobs.counts == {}
        await jobs.start("repeats", {}, key="1", principal="alice")
        await wait_until(lambda: is_over(jobs, name), what="the key's next job is over")
    assert len(runs) == 5


async def test_deletions_are_kept_as_long_as_the_settings_say(open_jobs: Open) -> None:
    clock = ManualClock(SystemClock().wall())

    async def run(job: RunningJob) -> End:
        return GiveUp("never") if job.principal == "dead" else Done()

    settings = config.Jobs(keep_done_days=2, keep_dead_days=4)
    nobody: Any = None
    kind = replace(UploadDeletions(nobody, nobody).kind(settings), run=run)
    async with open_jobs(kind, clock=clock) as jobs:
        for each in ("done", "dead"):
            name = await jobs.start(kind.name, {}, key=each, principal=each)
            await wait_until(partial(is_over, jobs, name), what="the job is over")
        kept = []
        for days in (1, 2, 2):
            clock.advance(days * 86_400)
            await jobs.maintain()
            kept.append({state for _, state in jobs.counts})
    assert kept == [{State.DONE, State.DEAD}, {State.DEAD}, set()]


async def test_jobs_are_looked_after_a_page_at_a_time(
    open_jobs: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exai.jobs.durable.PAGE", 2)
    clock = ManualClock(SystemClock().wall())
    async with open_jobs(NOTHING, clock=clock) as jobs:
        names = [await jobs.start("nothing", {}, key=str(each), principal="alice") for each in range(5)]
        for name in names:
            await wait_until(lambda each=name: is_over(jobs, each), what="the job is over")  # type: ignore[misc]
        pages: list[int] = []
        engine = jobs._engine
        assert engine is not None
        read = engine.rows

        def counted(**which: Any) -> list[Any]:
            page = read(**which)
            pages.append(len(page))
            return page

        monkeypatch.setattr(engine, "rows", counted)
        await jobs.maintain()
        assert pages == [2, 2, 1]
        assert jobs.counts == {("nothing", State.DONE): 5}
        clock.advance(8 * 86_400)
        await jobs.maintain()
        assert jobs.counts == {}
        assert [await jobs.find(name) for name in names] == [None] * 5


@pytest.fixture
async def processes() -> AsyncIterator[ForkedRuns]:
    async with forked_runs(PROCESS) as runs:
        yield runs


@pytest.mark.parametrize("dies_in", ["first", "second", "third"])
async def test_what_a_killed_process_ran_is_recovered_once_by_two_processes(
    processes: ForkedRuns, tmp_path: Path, dies_in: str
) -> None:
    order = {"folder": str(tmp_path)}
    assert await processes.run({**order, "starts": True, "dies_in": dies_in}) == [-9]
    assert await processes.run(order, order) == [0, 0]
    lines = [line.split() for line in (tmp_path / "lines").read_text().splitlines()]
    done = Counter((number, step) for number, step, _ in lines)
    assert len(done) == 18
    assert {step: {done[number, step] for number, of, _ in lines if of == step} for _, step in done} == {
        step: {2 if step == dies_in else 1} for step in ("first", "second", "third")
    }


async def test_a_job_with_which_each_process_dies_is_given_up(
    open_jobs: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "MOST_RECOVERIES", 2)
    monkeypatch.setattr(durable, "STOP_S", 0.2)
    runs: list[int] = []

    async def run(_job: RunningJob) -> End:
        runs.append(1)
        await asyncio.sleep(3600)
        return Done()

    kind = Kind("deadly", run)
    for number in range(1, 4):
        async with open_jobs(kind) as jobs:
            name = await jobs.start("deadly", {}, key="1", principal="alice")
            await jobs.maintain()
            await wait_until(lambda number=number: len(runs) == number, what="it runs again")  # type: ignore[misc]
            jobs.stop()
    async with open_jobs(kind) as jobs:
        await jobs.maintain()
        await wait_until(lambda: is_over(jobs, name), what="the job is over")
        job = await jobs.find(name)
    assert job is not None
    assert (job.state, job.last_error) == (
        State.DEAD,
        "the process ended each time that it ran this job",
    )
    assert len(runs) == 3


async def test_a_file_that_cannot_be_used_is_said_and_tried_again(open_jobs: Open, tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(b"no database" * 100)
    async with open_jobs(NOTHING) as jobs:
        for _ in range(2):
            with pytest.raises(StoreFailed, match="log says why"):
                await jobs.start("nothing", {}, key="1", principal="alice")
        with pytest.raises(StoreFailed):
            await jobs.maintain()
        (tmp_path / "jobs.sqlite").unlink()
        name = await jobs.start("nothing", {}, key="1", principal="alice")
        await wait_until(lambda: is_over(jobs, name), what="the job is over")


async def test_an_attempt_whose_end_cannot_be_kept_runs_again_in_the_same_process(
    open_jobs: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[End] = [TryAgain("busy"), TryAgain("busy"), Done()]
    refusals = [OSError("no space left")]
    enqueue = engine.Engine.enqueue

    def refuse_once(self: engine.Engine, attempt: Attempt, wait_s: float | None = None) -> None:
        if attempt.number == 2 and refusals:
            raise refusals.pop()
        enqueue(self, attempt, wait_s)

    async def run(_job: RunningJob) -> End:
        return ends.pop(0)

    monkeypatch.setattr(engine.Engine, "enqueue", refuse_once)
    async with open_jobs(Kind("unlucky", run, backoff=Backoff(first_s=0.01))) as jobs:
        name = await jobs.start("unlucky", {}, key="1", principal="alice")
        await wait_until(lambda: not refusals, what="the end of an attempt is refused")

        async def is_over_when_maintained() -> bool:
            await jobs.maintain()
            return await is_over(jobs, name)

        await wait_until(is_over_when_maintained, what="the job is over")
        job = await jobs.find(name)
    assert job is not None
    assert (job.state, job.attempt, ends) == (State.DONE, 2, [])


async def test_an_engine_that_cannot_be_made_is_tried_again(
    open_jobs: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise OSError("no more files")

    async with open_jobs(NOTHING) as jobs:
        with monkeypatch.context() as patched:
            patched.setattr(engine, "DBOS", refuse)
            with pytest.raises(StoreFailed):
                await jobs.start("nothing", {}, key="1", principal="alice")
        name = await jobs.start("nothing", {}, key="1", principal="alice")
        await wait_until(lambda: is_over(jobs, name), what="the job is over")


async def test_the_beginning_of_an_id_finds_and_cancels_no_job(open_jobs: Open) -> None:
    async with open_jobs(NOTHING) as jobs:
        await jobs.pause("nothing")
        name = await jobs.start("nothing", {}, key="1", principal="alice")
        for beginning in ("", "job_", name[:-1]):
            assert await jobs.find(beginning) is None
            assert not await jobs.cancel(beginning)
        assert (await jobs.list())[0].state is State.QUEUED


async def test_a_process_runs_the_jobs_of_one_file(open_jobs: Open, tmp_path: Path) -> None:
    async with open_jobs(NOTHING) as jobs:
        await jobs.start("nothing", {}, key="1", principal="alice")
        file = tmp_path / "other.sqlite"
        other = DurableJobs([NOTHING], file, new_run_id(), SystemClock(), publish=lambda _: None)
        with pytest.raises(StoreFailed):
            await other.start("nothing", {}, key="1", principal="alice")
        await other.close()
        assert await jobs.start("nothing", {}, key="2", principal="alice")


async def test_libraries_of_an_older_sqlite_do(
    open_jobs: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(jobs_file, "SUBSECONDS_SINCE", (99, 0))
    connections = jobs_file.jobs_connections(tmp_path / "jobs.sqlite")
    with connections.connect() as connection:
        now = connection.exec_driver_sql("SELECT unixepoch('subsec')").scalar()
    connections.dispose()
    assert isinstance(now, float)
    async with open_jobs(NOTHING) as jobs:
        name = await jobs.start("nothing", {}, key="1", principal="alice")
        await wait_until(lambda: is_over(jobs, name), what="the job is over")


async def test_whether_a_file_needs_maintenance_is_known_without_the_engine(
    open_jobs: Open, tmp_path: Path
) -> None:
    file = tmp_path / "jobs.sqlite"
    assert not needs_maintenance(file)
    file.write_bytes(b"no database" * 100)
    assert needs_maintenance(file)
    file.unlink()

    async def dies(_job: RunningJob) -> End:
        return GiveUp("never")

    kinds = (NOTHING, Kind("dies", dies))
    async with open_jobs(*kinds) as jobs:
        done = await jobs.start("nothing", {}, key="1", principal="alice")
        assert needs_maintenance(file)
        await wait_until(lambda: is_over(jobs, done), what="the job is over")
        assert not needs_maintenance(file)
        dead = await jobs.start("dies", {}, key="1", principal="alice")
        await wait_until(lambda: is_over(jobs, dead), what="the job is over")
        assert needs_maintenance(file)
    async with open_jobs(*kinds) as jobs:
        await jobs.maintain()
        assert jobs.counts == {("nothing", State.DONE): 1, ("dies", State.DEAD): 1}


async def test_dbos_says_warnings_in_our_log_and_nothing_else(
    open_jobs: Open, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    async def run(job: RunningJob) -> End:
        async def fails() -> None:
            raise LookupError("canary-in-an-error")

        await job.step("fails", fails)
        return Done()

    never = Backoff(give_up_after_s=0)
    with caplog.at_level(logging.DEBUG):
        async with open_jobs(Kind("fails", run, backoff=never)) as jobs:
            name = await jobs.start(
                "fails", {"id": "canary-in-arguments"}, key="canary-key", principal="alice"
            )
            await wait_until(lambda: is_over(jobs, name), what="the job is over")
    said = [record for record in caplog.records if record.name.startswith("dbos")]
    assert {record.levelno for record in said} <= {logging.WARNING}
    assert "canary" not in " ".join(record.getMessage() for record in said)
    out, err = capfd.readouterr()
    assert "DBOS" not in out + err
    assert "console.dbos.dev" not in out + err
