"""Baselines over real databases: begun, ended by plan or by people, reported, kept, compared."""

import json
import random
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, select

from exai.app.duties import call_duties
from exai.app.watching.baselines import baselines_of
from exai.cli.baselines.access import write_report
from exai.config import Settings
from exai.errors import BadArguments
from exai.monitoring.baselines.baselines import Baselines, chosen_by
from exai.monitoring.baselines.comparison import compare
from exai.monitoring.baselines.coverage import coverage_of
from exai.monitoring.baselines.markdown import as_markdown, changes_as_markdown, interval_text
from exai.monitoring.baselines.page import as_page
from exai.monitoring.baselines.report import BaselineReport, Subject
from exai.monitoring.statistics.quantiles import Quantile, quantile_of
from exai.runtime.clock import ManualClock
from exai.storage.database import Database
from exai.storage.error_tracking.sample_table import SampleRow, SampleTable
from exai.storage.error_tracking.schema import call_spans
from exai.storage.fleet.replicas import ReplicaRow, Replicas
from support.measured_calls import call_row, write_calls
from support.queued_writes import commit_queued
from support.scripted import ScriptedProvider
from support.services import Services

BEGAN = datetime(2026, 11, 29, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


def cells_of_markdown(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [cell for line in lines for cell in line.removeprefix("| ").removesuffix(" |").split(" | ")]


def cells_of_page(page: str) -> list[str]:
    return [unescape(cell) for cell in re.findall(r"<t[hd](?: [^>]*)?>(.*?)</t[hd]>", page)]


class Day:
    """A daemon's day, as its database has it, at a moment that a test moves."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = ManualClock(BEGAN.timestamp())
        self.runs = Replicas(database, self.clock)

    def baselines(self) -> Baselines:
        """As another process opens them."""
        return baselines_of(Settings(), self.database, self.clock)

    async def alive(self, lasts: timedelta) -> None:
        """Let time pass in which the daemon is alive."""
        self.clock.advance(lasts.total_seconds())
        await self.runs.beat()

    async def ask(self, values: list[float], **given: object) -> None:
        """Calls of such latencies, from the begin on, one in ten seconds."""
        rows = [
            call_row(BEGAN + timedelta(seconds=10 * place), stages={"generation_ms": ms}, **given)
            for place, ms in enumerate(values)
        ]
        await write_calls(self.database, rows)


@pytest.fixture
async def day(database: Database) -> Day:
    day = Day(database)
    await day.runs.begin("1.0", "digest", "here")
    return day


def latencies(n: int, seed: int = 1, slower: float = 1.0) -> list[float]:
    dice = random.Random(seed)
    return [slower * dice.lognormvariate(7, 0.4) for _ in range(n)]


def subject(report: BaselineReport, kind: str, name: str) -> Subject:
    return next(each for each in report.subjects if (each.kind, each.name) == (kind, name))


async def test_a_baseline_ends_by_its_plan_and_its_numbers_are_those_of_the_rows(day: Day) -> None:
    await day.baselines().start("before", 2 * HOUR, note="an ordinary morning")
    values = latencies(400)
    await day.ask(values)
    await day.ask([900.0] * 4, outcome="failed", error_code="provider_throttled")
    assert await day.baselines().end_due() == 0
    await day.alive(2 * HOUR)
    assert await day.baselines().end_due() == 1
    report = await day.baselines().report("before")
    assert (report.baseline.state, report.calls, report.coverage.share) == ("complete", 404, 1.0)
    assert report.remarks == ("glm: a baseline, of 404 calls.",)
    found = subject(report, "model", "glm/glm-5.3")
    assert found.latency is not None
    assert found.latency.quantiles == tuple(quantile_of(sorted(values), q) for q in (0.5, 0.9, 0.95, 0.99))
    assert found.failures == {"provider_throttled": 4}
    assert (found.failed.hits, found.failed.of) == (4, 404)
    assert found.useful is not None
    assert found.useful.longest is None
    assert found.stages["generation_ms"].longest == max(values)
    assert sum(hour.calls for hour in report.hours) == 404
    assert await day.baselines().end_due() == 0


async def test_report_in_three_forms_says_the_same(day: Day) -> None:
    await day.baselines().start("a", HOUR, note="<script>alert(1)</script>", where="tool=chat")
    await day.ask(latencies(120))
    await day.alive(HOUR)
    await day.baselines().end_due()
    report = await day.baselines().report("a")
    text, page = as_markdown(report), as_page(report)
    found = subject(report, "model", "glm/glm-5.3")
    assert found.latency is not None
    p95 = f"{(found.latency.quantiles[2].value or 0) / 1_000:,.2f} s"
    assert p95 in text
    assert p95 in page
    assert "`≥`" in text
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<svg") == 3
    assert "http" not in page
    assert "p99 needs 248 more" in page
    assert as_page(report) == page


async def test_a_report_made_twice_is_the_same_and_its_forms_agree_number_by_number(
    day: Day, tmp_path: Path
) -> None:
    """B1: twice from the same rows, by two processes; then every cell of every table."""
    await day.baselines().start("a", HOUR)
    await day.ask(latencies(120))
    await day.ask(latencies(90, seed=2), model_used="kimi-k3", provider="kimi", tool="think", emulated=1)
    await day.ask([9.0] * 3, outcome="failed", error_code="provider_timeout")
    await day.alive(HOUR)
    for name in ("once", "again"):
        write_report(await day.baselines().report("a"), tmp_path / name)
    forms = ("report.html", "report.json", "report.md")
    once, again = ([(tmp_path / name / form).read_bytes() for form in forms] for name in ("once", "again"))
    assert once == again
    page, body, text = (each.decode() for each in once)
    read = msgspec.json.decode(body, type=BaselineReport)
    assert as_markdown(read) == text
    assert as_page(read) == page
    assert cells_of_page(page) == cells_of_markdown(text)
    cells = cells_of_markdown(text)
    for each in json.loads(body)["subjects"]:
        for quantile in each["latency"]["quantiles"]:
            assert interval_text(msgspec.convert(quantile, Quantile)) in cells
        assert f"{each['cost_usd']:.4f}" in cells
        assert str(each["failed"]["hits"]) in cells
    assert cells.count("emulated") == 3, "no speed of the emulator, of kimi, its model and its tool"
    await day.baselines().end_due()
    kept = await day.baselines().report("a")
    assert msgspec.structs.replace(kept, baseline=read.baseline) == read, "and what is kept is that again"


async def test_a_baseline_survives_the_process_and_keeps_its_report_when_calls_are_gone(day: Day) -> None:
    await day.baselines().start("a", HOUR)
    await day.ask(latencies(80))
    await day.alive(HOUR / 2)
    stopped = await day.baselines().stop("a")
    assert stopped.baseline.state == "stopped"
    assert stopped.until == BEGAN + HOUR / 2
    await day.alive(100 * 24 * HOUR)
    assert await day.baselines().report("a") == stopped
    with pytest.raises(BadArguments, match="is over: stopped"):
        await day.baselines().stop("a")


async def test_running_calls_are_waited_for_as_long_as_they_may_run(day: Day) -> None:
    await day.baselines().start("a", HOUR)
    await write_calls(day.database, [call_row(BEGAN + HOUR / 2, outcome=None)])
    await day.alive(HOUR)
    assert await day.baselines().end_due() == 0
    await day.alive(timedelta(seconds=960))
    assert await day.baselines().end_due() == 1
    report = await day.baselines().report("a")
    assert (report.calls, report.open, report.baseline.state) == (0, 1, "insufficient")
    assert report.baseline.ended_at == BEGAN + HOUR
    assert "a baseline of none" in report.remarks[0]
    assert "0 calls ended, 1 still run" in as_markdown(report)


async def test_too_little_says_how_much_is_missing(day: Day) -> None:
    await day.baselines().start("few", HOUR)
    await day.ask(latencies(40), emulated=1)
    await day.alive(HOUR)
    await day.baselines().end_due()
    few = await day.baselines().report("few")
    assert few.baseline.state == "insufficient"
    assert few.remarks == (
        "glm: no baseline yet; 40 calls ended, 32 more are needed, 368 in all for p99.",
        "Emulated: the built-in emulator answered 40 of 40 calls; these measure no provider.",
    )


async def test_a_daemon_that_was_away_for_long_makes_no_baseline(day: Day) -> None:
    await day.baselines().start("gap", 10 * HOUR)
    await day.ask(latencies(400))
    await day.alive(9 * HOUR)
    day.clock.advance(3_600)
    await day.baselines().end_due()
    report = await day.baselines().report("gap")
    assert report.baseline.state == "insufficient"
    assert "EXAI ran for 90.0% of the time, and 95%" in report.remarks[0]
    assert "No EXAI ran from 2026-11-29 19:00:10 UTC" in as_markdown(report)


async def test_the_limit_to_change_is_read_from_samples(day: Day) -> None:
    samples = SampleTable(day.database)
    minutes = [BEGAN + timedelta(minutes=place) for place in range(60)]
    samples.keep_soon([SampleRow(at, "in use: glm/glm-5.3", 60, 64, 0.5) for at in minutes])
    samples.keep_soon([SampleRow(BEGAN, "loop_lag_ms", 2, 180, 0)])
    await commit_queued(day.database)
    await day.baselines().start("a", HOUR)
    dice = random.Random(2)
    rows = [
        call_row(
            BEGAN + timedelta(seconds=5 * place),
            stages={
                "generation_ms": dice.lognormvariate(7, 0.1),
                "provider_sem_wait_ms": 4_000.0 if place % 10 == 0 else 0.0,
            },
        )
        for place in range(300)
    ]
    await write_calls(day.database, rows)
    await day.alive(HOUR)
    report = await day.baselines().stop("a")
    (bottleneck,) = report.bottlenecks
    assert bottleneck.advice.startswith(
        "Raise `admission.model_limit` from 64 to 65: it was reached in 50.0%"
    )
    assert bottleneck.advice in as_markdown(report)
    assert "<strong>Raise <code>admission.model_limit</code> from 64 to 65" in as_page(report)


async def test_worse_is_what_surely_takes_much_longer(day: Day) -> None:
    async def baseline(name: str, values: list[float]) -> BaselineReport:
        await day.baselines().start(name, HOUR, where=f"client={name}")
        await day.ask(values, client=name)
        await day.alive(HOUR)
        await day.baselines().stop(name)
        day.clock.advance(-3_600)
        return await day.baselines().report(name)

    before = await baseline("before", latencies(360))
    same = await baseline("same", latencies(360, seed=2))
    slower = await baseline("slower", latencies(360, seed=3, slower=1.5))
    few = await baseline("few", latencies(5))
    assert {each.verdict for each in compare(before, same)} == {"same"}
    assert {each.verdict for each in compare(before, slower)} == {"worse"}
    assert {each.verdict for each in compare(slower, before)} == {"better"}
    assert {each.verdict for each in compare(before, few)} == {"not enough"}
    for each in compare(before, slower):
        assert each.low is not None
        assert each.high is not None
        assert each.low < 1.5 < each.high
    assert "| worse |" in changes_as_markdown("before", "slower", compare(before, slower))
    assert "| – |" in changes_as_markdown("before", "few", compare(before, few))
    assert json.loads(json.dumps([each.verdict for each in compare(before, before)]))


@pytest.mark.sqlite
async def test_what_is_no_baseline_is_refused_with_what_to_do(day: Day) -> None:
    baselines = day.baselines()
    await baselines.start("a", HOUR)
    with pytest.raises(BadArguments, match="already; choose another name"):
        await baselines.start("a", HOUR)
    with pytest.raises(BadArguments, match="no name of a baseline"):
        await baselines.start("../a", HOUR)
    with pytest.raises(BadArguments, match="up to 60 days"):
        await baselines.start("b", 61 * 24 * HOUR)
    with pytest.raises(BadArguments, match="`exai baseline list` has their names"):
        await baselines.report("b")
    for where in ("tool", "tool=", "price=3"):
        with pytest.raises(BadArguments, match="write NAME=VALUE"):
            await baselines.start("b", HOUR, where=where)
    assert chosen_by("tool=chat, provider=glm") == (("tool", "chat"), ("provider", "glm"))
    assert [row.name for row in await baselines.listed()] == ["a"]


async def test_the_spans_of_every_call_are_kept_while_a_baseline_collects(day: Day) -> None:
    services = Services(day.database, ScriptedProvider(*["answer"] * 90))
    follow = next(
        duty for duty in call_duties(services.oversight, day.baselines()) if duty.name == "follow_baselines"
    )

    async def kept_of(calls: int) -> int:
        await follow.run()
        for number in range(calls):
            await services.call(word=f"{services.clock.wall()} {number}")
        await commit_queued(day.database)
        return await day.database.read(
            lambda connection: connection.execute(select(func.count(call_spans.c.call_id))).scalar_one()
        )

    before = await kept_of(30)
    assert before < 30
    await day.baselines().start("a", HOUR)
    assert await kept_of(30) == before + 30
    await day.alive(HOUR)
    assert await kept_of(30) < before + 60, "its time is over, though nobody has ended it yet"


def run(begin_h: float, beat_h: float, end_h: float | None, release: str = "1") -> ReplicaRow:
    moment = [None if h is None else BEGAN + h * HOUR for h in (begin_h, beat_h, end_h)]
    began, beat, ended = moment
    assert began is not None
    assert beat is not None
    state = "serving" if ended is None else "gone"
    return ReplicaRow("run", "0a1b2c3d", None, release, "s", "here", state, began, ended or beat, "{}")


def test_coverage_is_the_union_of_runs() -> None:
    found = coverage_of(
        [run(-3, 4, 4), run(3, 10, 10, "2"), run(12, 20, 20, "2"), run(30, 31, 31)], BEGAN, BEGAN + 24 * HOUR
    )
    assert found.share == pytest.approx(18 / 24)
    assert [(gap.began, gap.ended) for gap in found.gaps] == [
        (BEGAN + 10 * HOUR, BEGAN + 12 * HOUR),
        (BEGAN + 20 * HOUR, BEGAN + 24 * HOUR),
    ]
    assert (found.runs, found.releases) == (3, ("1", "2"))


def test_a_run_that_was_killed_is_covered_until_its_last_heartbeat() -> None:
    found = coverage_of([run(0, 1, None)], BEGAN, BEGAN + 2 * HOUR)
    assert found.share == pytest.approx(0.5, abs=0.002)
    assert coverage_of([], BEGAN, BEGAN).share == 0.0
