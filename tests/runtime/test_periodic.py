"""Duties run when they are due, go on after failures, and are the business of the process that has their role."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
import structlog
from structlog.testing import LogCapture
from structlog.types import EventDict

from exai.errors import StoreFailed
from exai.runtime import periodic
from exai.runtime.periodic import Duty, DutyRecord, Role, Scheduler
from support.virtual_time import LoopClock

pytestmark = pytest.mark.virtual_time


class Diary:
    """Work that notes when it runs, and fails as often as a test says."""

    def __init__(self, fails: int = 0, error: type[Exception] = RuntimeError, takes_s: float = 0.0) -> None:
        self.times: list[float] = []
        self._fails = fails
        self._error = error
        self._takes_s = takes_s

    async def run(self) -> None:
        self.times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self._takes_s)
        if len(self.times) <= self._fails:
            raise self._error("planted")


class Elected:
    """A leader whose roles a test gives and takes."""

    def __init__(self) -> None:
        self.roles: set[Role] = set()

    def leads(self, role: Role) -> bool:
        return role in self.roles


def middle() -> float:
    """Dice that never move a pause."""
    return 0.5


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[EventDict]:
    """What the scheduler logs, from `info` on."""
    capture = LogCapture()
    levels = structlog.make_filtering_bound_logger(logging.INFO)
    log = structlog.wrap_logger(None, processors=[capture], wrapper_class=levels)
    monkeypatch.setattr(periodic, "_log", log)
    return capture.entries


def scheduler(leader: Elected | None = None, dice: Callable[[], float] = middle) -> Scheduler:
    return Scheduler(LoopClock(), leader, dice=dice)


def only_record(scheduler: Scheduler) -> DutyRecord:
    (record,) = scheduler
    return record


async def run_for(seconds: float, duty: Duty, scheduler: Scheduler) -> DutyRecord:
    async with scheduler.running(duty):
        await asyncio.sleep(seconds)
    return only_record(scheduler)


async def test_a_duty_runs_again_its_interval_after_the_end_of_a_run() -> None:
    diary = Diary(takes_s=2)
    record = await run_for(35, Duty(name="tidy", run=diary.run, every_s=10), scheduler())
    assert diary.times == [10, 22, 34]
    assert (record.runs, record.seconds, record.failures) == (2, 4, 0)


async def test_rows_that_a_duty_removes_are_added_up() -> None:
    found = iter((7, 0, 5))

    async def prune() -> int:
        return next(found)

    pruning = scheduler()
    record = await run_for(35, Duty(name="prune", run=prune, every_s=10, removes=True), pruning)
    assert (record.runs, record.removed) == (3, 12)
    assert [sample.value for sample in pruning.samples() if sample.name == "duty_removed_rows"] == [12]


async def test_what_is_due_at_start_runs_at_once() -> None:
    diary = Diary()
    await run_for(25, Duty(name="tidy", run=diary.run, every_s=10, at_start=True), scheduler())
    assert diary.times == [0, 10, 20]


async def test_jitter_moves_a_pause_by_its_share_at_most() -> None:
    rolls = iter((0.0, 1.0, 0.75))
    diary = Diary()
    duty = Duty(name="tidy", run=diary.run, every_s=10, jitter=0.2)
    await run_for(31.5, duty, scheduler(dice=lambda: next(rolls, 0.5)))
    assert diary.times == [8, 20, 31]


async def test_waking_makes_a_run_due_at_once_and_once() -> None:
    diary, wake = Diary(), asyncio.Event()
    tidy = scheduler()
    async with tidy.running(Duty(name="tidy", run=diary.run, every_s=10, wake=wake)):
        await asyncio.sleep(3)
        wake.set()
        await asyncio.sleep(20)
    assert diary.times == [3, 13]


async def test_a_duty_that_was_woken_during_a_run_runs_once_more() -> None:
    diary, wake = Diary(takes_s=4), asyncio.Event()
    async with scheduler().running(Duty(name="tidy", run=diary.run, every_s=10, wake=wake)):
        await asyncio.sleep(12)
        wake.set()
        await asyncio.sleep(10)
    assert diary.times == [10, 14]


async def test_pauses_double_with_failures_in_a_row_up_to_their_limit_and_success_ends_it() -> None:
    diary = Diary(fails=5)
    duty = Duty(name="follow", run=diary.run, every_s=1, slowest_retry_s=5)
    record = await run_for(20.5, duty, scheduler())
    assert diary.times == [1, 2, 4, 8, 13, 18, 19, 20]
    assert (record.failures, record.failures_in_a_row, record.last_error) == (5, 0, None)


async def test_a_rare_duty_that_failed_is_tried_again_within_minutes() -> None:
    diary = Diary(fails=2)
    await run_for(7 * 3600, Duty(name="prune", run=diary.run, every_s=6 * 3600, at_start=True), scheduler())
    assert diary.times == [0, 60, 180, 180 + 6 * 3600]


async def test_a_frequent_duty_keeps_its_interval_after_failures_unless_it_says_otherwise() -> None:
    diary = Diary(fails=9)
    await run_for(3.1, Duty(name="check", run=diary.run, every_s=1), scheduler())
    assert diary.times == [1, 2, 3]


async def test_a_record_names_the_error_of_the_latest_run() -> None:
    for error, name in ((RuntimeError, "RuntimeError"), (StoreFailed, "store_failed")):
        diary = Diary(fails=9, error=error)
        record = await run_for(3.5, Duty(name="tidy", run=diary.run, every_s=1), scheduler())
        assert (record.runs, record.failures, record.failures_in_a_row) == (3, 3, 3)
        assert record.last_error == name


async def test_failures_in_a_row_are_logged_ever_more_rarely_and_their_end_once(
    logged: list[EventDict],
) -> None:
    diary = Diary(fails=9)
    await run_for(12.5, Duty(name="check", run=diary.run, every_s=1), scheduler())
    failures = [line["failures_in_a_row"] for line in logged if line["event"] == "duty failed"]
    assert failures == [1, 2, 4, 8]
    (again,) = [line for line in logged if line["event"] == "duty works again"]
    assert (again["duty"], again["after_failures"]) == ("check", 9)


async def test_an_unforeseen_failure_is_logged_with_its_exception_a_foreseen_one_by_its_code(
    logged: list[EventDict],
) -> None:
    for error in (StoreFailed, RuntimeError):
        duty = Duty(name="tidy", run=Diary(fails=1, error=error).run, every_s=1)
        await run_for(1.5, duty, scheduler())
    assert [(line["log_level"], line.get("error")) for line in logged] == [
        ("warning", "store_failed"),
        ("warning", "RuntimeError"),
        ("error", None),
    ]
    assert isinstance(logged[-1]["exc_info"], RuntimeError)


async def test_an_unforeseen_failure_is_handed_on_as_often_as_it_is_logged() -> None:
    found: list[tuple[str, str]] = []
    for error in (StoreFailed, RuntimeError):
        duties = Scheduler(
            LoopClock(), on_unforeseen=lambda error, duty: found.append((type(error).__name__, duty))
        )
        await run_for(9, Duty(name="tidy", run=Diary(fails=5, error=error).run, every_s=1), duties)
    assert found == [("RuntimeError", "tidy")] * 3


async def test_only_the_process_with_the_role_runs_a_duty_that_has_one() -> None:
    leader, diary = Elected(), Diary()
    duties = scheduler(leader)
    async with duties.running(Duty(name="prune", run=diary.run, every_s=60, role="housekeeper")):
        await asyncio.sleep(119)
        assert (diary.times, only_record(duties).is_standby, only_record(duties).runs) == ([], True, 0)
        leader.roles.add("housekeeper")
        await asyncio.sleep(10)
        assert (diary.times, only_record(duties).is_standby) == ([120], False)
        leader.roles.clear()
        await asyncio.sleep(300)
    assert diary.times == [120]


async def test_a_process_that_shares_its_work_with_no_other_has_every_role() -> None:
    diary = Diary()
    await run_for(15, Duty(name="prune", run=diary.run, every_s=10, role="housekeeper"), scheduler())
    assert diary.times == [10]


async def test_one_duty_that_hangs_holds_up_no_other() -> None:
    diary = Diary()
    stuck: Callable[[], Awaitable[object]] = asyncio.Event().wait
    duties = scheduler()
    async with duties.running(
        Duty(name="stuck", run=stuck, every_s=1), Duty(name="tidy", run=diary.run, every_s=1)
    ):
        await asyncio.sleep(3.5)
        assert [(record.duty.name, record.runs) for record in duties] == [("stuck", 0), ("tidy", 3)]
    assert diary.times == [1, 2, 3]


async def test_leaving_the_scope_cancels_a_run_and_waits_for_its_end() -> None:
    ended: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            await asyncio.sleep(3)
            ended.append("cleaned up")

    duties = scheduler()
    record = await run_for(5, Duty(name="slow", run=slow, every_s=1), duties)
    assert ended == ["cleaned up"]
    assert asyncio.get_running_loop().time() == 8
    assert (record.runs, record.failures) == (0, 0)


async def test_samples_are_of_every_duty() -> None:
    duties = scheduler()
    async with duties.running(
        Duty(name="tidy", run=Diary(takes_s=2).run, every_s=1),
        Duty(name="fail", run=Diary(fails=1).run, every_s=3),
    ):
        await asyncio.sleep(3.5)
    found = {(sample.name, *sample.labels): sample.value for sample in duties.samples()}
    assert found == {
        ("duty_runs", ("duty", "tidy")): 1,
        ("duty_failures", ("duty", "tidy")): 0,
        ("duty_seconds", ("duty", "tidy")): 2,
        ("duty_runs", ("duty", "fail")): 1,
        ("duty_failures", ("duty", "fail")): 1,
        ("duty_seconds", ("duty", "fail")): 0,
    }


async def test_an_election_that_fails_is_a_failure_of_the_duty_which_is_tried_again() -> None:
    class Undecided:
        asked = 0

        def leads(self, role: Role) -> bool:
            self.asked += 1
            if self.asked == 1:
                raise ConnectionError("nobody counts the votes")
            return role == "housekeeper"

    diary, reported = Diary(), list[tuple[str, str]]()
    duties = Scheduler(
        LoopClock(),
        Undecided(),
        on_unforeseen=lambda error, duty: reported.append((type(error).__name__, duty)),
        dice=middle,
    )
    record = await run_for(25, Duty(name="prune", run=diary.run, every_s=10, role="housekeeper"), duties)
    assert diary.times == [20]
    assert (record.failures, record.last_error, reported) == (1, None, [("ConnectionError", "prune")])
