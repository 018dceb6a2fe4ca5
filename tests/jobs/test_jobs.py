"""What every implementation of jobs promises, and what the two for tests are like."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from exai.errors import ProviderOverloaded
from exai.jobs.durable import DurableJobs
from exai.jobs.job import Job, Jobs, State
from exai.jobs.kinds import Backoff, Cancel, Done, End, GiveUp, Kind, RunningJob, Snooze, TryAgain
from exai.jobs.testing import JobsByHand
from exai.runtime.clock import ManualClock, SystemClock
from exai.storage.fleet.runs import new_run_id
from support.waiting import wait_until

SOON = Backoff(first_s=0.01, factor=1.0, longest_s=0.01, give_up_after_s=3600)

Until = Callable[[str], Awaitable[Job]]
OpenJobs = Callable[[Sequence[Kind]], AbstractAsyncContextManager[tuple[Jobs, Until]]]


def kind(run: Callable[[RunningJob], Awaitable[End]], **options: Any) -> Kind:
    return Kind("a_kind", run, **{"backoff": SOON, **options})


@pytest.fixture(params=["dbos", "by hand"])
def open_jobs(request: pytest.FixtureRequest, tmp_path: Path) -> OpenJobs:
    """Jobs of these kinds, and a wait until one of them is over."""

    @asynccontextmanager
    async def durable(kinds: Sequence[Kind]) -> AsyncIterator[tuple[Jobs, Until]]:
        file, clock = tmp_path / "jobs.sqlite", SystemClock()
        jobs = DurableJobs(kinds, file, new_run_id(), clock, publish=lambda _: None, poll_s=0.02)

        async def until_over(job_id: str) -> Job:
            async def ended() -> Job | None:
                job = await jobs.find(job_id)
                return job if job is not None and job.state.is_over else None

            job = await wait_until(ended, within=60, what=f"{job_id} is over")
            assert job is not None
            return job

        yield jobs, until_over
        await jobs.close()

    @asynccontextmanager
    async def by_hand(kinds: Sequence[Kind]) -> AsyncIterator[tuple[Jobs, Until]]:
        jobs = JobsByHand(kinds, ManualClock())

        async def until_over(job_id: str) -> Job:
            await jobs.drain(waiting=True)
            job = await jobs.find(job_id)
            assert job is not None
            return job

        yield jobs, until_over

    return durable if request.param == "dbos" else by_hand


async def test_a_job_runs_its_steps_once_and_keeps_its_result(open_jobs: OpenJobs) -> None:
    done: list[str] = []

    async def run(job: RunningJob) -> End:
        async def first() -> str:
            done.append("first")
            return f"{job.arguments['of']} of {job.principal}"

        async def second() -> dict[str, int]:
            done.append("second")
            return {"files": 2}

        return Done({"first": await job.step("first", first), **await job.step("second", second)})

    async with open_jobs([kind(run)]) as (jobs, until_over):
        name = await jobs.start("a_kind", {"of": "file_1"}, key="1", principal="alice")
        job = await until_over(name)
    assert (job.state, job.result) == (State.DONE, {"first": "file_1 of alice", "files": 2})
    assert (job.kind, job.principal, job.arguments) == ("a_kind", "alice", {"of": "file_1"})
    assert (job.attempt, job.failures, job.last_error) == (1, 0, None)
    assert job.ended_at is not None
    assert done == ["first", "second"]


async def test_one_key_of_one_principal_is_one_job(open_jobs: OpenJobs) -> None:
    runs: list[object] = []

    async def run(job: RunningJob) -> End:
        runs.append(job.arguments["n"])
        return Done()

    async with open_jobs([kind(run)]) as (jobs, until_over):
        name = await jobs.start("a_kind", {"n": 1}, key="1", principal="alice")
        assert await jobs.start("a_kind", {"n": 2}, key="1", principal="alice") == name
        await until_over(name)
        assert await jobs.start("a_kind", {"n": 3}, key="1", principal="alice") == name
        assert (await until_over(name)).arguments == {"n": 1}
        other = await jobs.start("a_kind", {"n": 4}, key="1", principal="bob")
        await until_over(other)
    assert other != name
    assert runs == [1, 4]


async def test_a_failed_attempt_is_followed_by_one_that_repeats_no_step(open_jobs: OpenJobs) -> None:
    steps: list[str] = []

    async def run(job: RunningJob) -> End:
        async def first() -> int:
            steps.append("first")
            return 7

        async def second() -> None:
            steps.append("second")
            if steps.count("second") < 3:
                raise ProviderOverloaded("Kimi is full.")

        kept = await job.step("first", first)
        await job.step("second", second)
        return Done({"kept": kept})

    async with open_jobs([kind(run)]) as (jobs, until_over):
        job = await until_over(await jobs.start("a_kind", {}, key="1", principal="alice"))
    assert steps == ["first", "second", "second", "second"]
    assert (job.state, job.result) == (State.DONE, {"kept": 7})
    assert (job.attempt, job.failures) == (3, 2)
    assert job.last_error == "provider_overloaded: Kimi is full."


async def test_what_nobody_foresaw_is_tried_again_and_its_text_is_not_kept(open_jobs: OpenJobs) -> None:
    attempts: list[int] = []

    async def run(_job: RunningJob) -> End:
        attempts.append(1)
        if len(attempts) == 1:
            raise LookupError("the caller's words")
        return Done()

    async with open_jobs([kind(run)]) as (jobs, until_over):
        job = await until_over(await jobs.start("a_kind", {}, key="1", principal="alice"))
    assert job.state is State.DONE
    assert job.last_error is not None
    assert re.fullmatch(r"internal_error: the log has it under inc_[0-9a-f]{12}", job.last_error)


async def test_after_the_days_of_its_kind_a_job_is_dead_with_its_last_error(open_jobs: OpenJobs) -> None:
    attempts: list[int] = []

    async def run(_job: RunningJob) -> End:
        attempts.append(1)
        return TryAgain(f"failure {len(attempts)}")

    steep = Backoff(first_s=0.01, factor=1e6, longest_s=1e9, give_up_after_s=3600)
    async with open_jobs([kind(run, backoff=steep)]) as (jobs, until_over):
        job = await until_over(await jobs.start("a_kind", {}, key="1", principal="alice"))
        assert [each.job_id for each in await jobs.list(state=State.DEAD)] == [job.job_id]
    assert (job.state, job.last_error) == (State.DEAD, "failure 2")
    assert job.attempt == len(attempts) == 2


@pytest.mark.parametrize(
    ("end", "state", "error"),
    [(GiveUp("never"), State.DEAD, "never"), (Cancel("not wanted"), State.CANCELLED, "not wanted")],
)
async def test_an_attempt_can_end_its_job(open_jobs: OpenJobs, end: End, state: State, error: str) -> None:
    async def run(_job: RunningJob) -> End:
        return end

    async with open_jobs([kind(run)]) as (jobs, until_over):
        job = await until_over(await jobs.start("a_kind", {}, key="1", principal="alice"))
    assert (job.state, job.last_error, job.attempt, job.result) == (state, error, 1, None)


async def test_a_snooze_is_no_failure(open_jobs: OpenJobs) -> None:
    attempts: list[int] = []

    async def run(_job: RunningJob) -> End:
        attempts.append(1)
        return Snooze(0.01) if len(attempts) < 3 else Done()

    async with open_jobs([kind(run)]) as (jobs, until_over):
        job = await until_over(await jobs.start("a_kind", {}, key="1", principal="alice"))
    assert (job.state, job.attempt, job.failures) == (State.DONE, 3, 0)


async def test_texts_are_refused_as_arguments_and_as_results(open_jobs: OpenJobs) -> None:
    async def run(job: RunningJob) -> End:
        async def long() -> str:
            return "x" * 5_000

        return Done({"text": await job.step("long", long)})

    brief = replace(SOON, give_up_after_s=0)
    async with open_jobs([kind(run, backoff=brief)]) as (jobs, until_over):
        with pytest.raises(ValueError, match=r"at most 4096 bytes .* and these are 5011"):
            await jobs.start("a_kind", {"text": "x" * 5_000}, key="1", principal="alice")
        assert await jobs.list() == []
        job = await until_over(await jobs.start("a_kind", {}, key="1", principal="alice"))
    assert (job.state, job.result) == (State.DEAD, None)
    assert job.last_error is not None
    assert job.last_error.startswith("internal_error: ")


async def test_a_job_belongs_to_its_principal(open_jobs: OpenJobs) -> None:
    async def run(_job: RunningJob) -> End:
        return Done()

    async with open_jobs([kind(run)]) as (jobs, _):
        await jobs.pause("a_kind")
        name = await jobs.start("a_kind", {}, key="1", principal="alice")
        assert await jobs.find(name, principal="bob") is None
        assert await jobs.list(principal="bob") == []
        assert not await jobs.cancel(name, principal="bob")
        found = await jobs.find(name, principal="alice")
        assert found is not None
        assert found.state is State.QUEUED
        assert [job.job_id for job in await jobs.list(principal="alice")] == [name]
        assert await jobs.cancel(name, principal="alice")


async def test_a_cancelled_job_does_not_run_and_stays_cancelled(open_jobs: OpenJobs) -> None:
    runs: list[object] = []

    async def run(job: RunningJob) -> End:
        runs.append(job.arguments["n"])
        return Done()

    async with open_jobs([kind(run)]) as (jobs, until_over):
        await jobs.pause("a_kind")
        name = await jobs.start("a_kind", {"n": 1}, key="1", principal="alice")
        assert await jobs.cancel(name)
        assert not await jobs.cancel(name)
        assert not await jobs.cancel("job_unknown")
        await jobs.pause("a_kind", paused=False)
        await until_over(await jobs.start("a_kind", {"n": 2}, key="2", principal="alice"))
        job = await jobs.find(name)
    assert runs == [2]
    assert job is not None
    assert job.state is State.CANCELLED


async def test_the_latest_jobs_come_first_and_others_can_be_left_out(open_jobs: OpenJobs) -> None:
    async def run(_job: RunningJob) -> End:
        return Done()

    async with open_jobs([kind(run), Kind("another", run)]) as (jobs, until_over):
        for number in range(3):
            await until_over(await jobs.start("a_kind", {"n": number}, key=str(number), principal="alice"))
        await until_over(await jobs.start("another", {}, key="1", principal="alice"))
        assert [job.arguments["n"] for job in await jobs.list(kind="a_kind", limit=2)] == [2, 1]
        assert len(await jobs.list(state=State.DONE)) == 4
        assert await jobs.list(state=State.RUNNING) == []


async def test_an_unknown_kind_is_a_mistake(open_jobs: OpenJobs) -> None:
    async with open_jobs([]) as (jobs, _):
        with pytest.raises(KeyError, match="other"):
            await jobs.start("other", {}, key="1", principal="alice")


async def test_jobs_that_run_at_once_have_run_when_they_are_started() -> None:
    async def run(job: RunningJob) -> End:
        return Done({"n": job.arguments["n"]})

    jobs = JobsByHand([kind(run)], ManualClock(), at_once=True)
    job = await jobs.find(await jobs.start("a_kind", {"n": 1}, key="1", principal="alice"))
    assert job is not None
    assert (job.state, job.result) == (State.DONE, {"n": 1})
    assert jobs.enqueued() == []


async def test_jobs_by_hand_run_on_request_and_skip_their_waits() -> None:
    clock = ManualClock()
    began = clock.wall()
    at: list[float] = []

    async def run(_job: RunningJob) -> End:
        at.append(clock.wall() - began)
        return TryAgain("not yet")

    jobs = JobsByHand([Kind("a_kind", run)], clock)
    name = await jobs.start("a_kind", {}, key="1", principal="alice")
    assert [job.job_id for job in jobs.enqueued("a_kind")] == [name]
    assert at == []
    assert await jobs.drain() == []
    assert at == [0.0]
    assert [job.state for job in jobs.enqueued()] == [State.WAITING]
    (job,) = await jobs.drain(waiting=True)
    assert (job.state, job.last_error) == (State.DEAD, "not yet")
    assert at[:6] == [0.0, 1.0, 5.0, 21.0, 85.0, 341.0]
    assert {round(later - earlier) for earlier, later in pairwise(at[9:])} == {6 * 3600}
    assert 13.7 * 86_400 < at[-1] <= 14 * 86_400
