"""`exai baseline`: commands in the test's own process, and a rehearsal with daemons of its own."""

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from exai import config
from exai.cli import build_app
from exai.cli.baselines.access import duration
from exai.cli.baselines.loading import Loading
from exai.cli.baselines.rehearsal import Rehearsal
from exai.cli.baselines.scenario import Ask, Scenario, read_scenario
from exai.config.demo import demo_data_dir
from exai.errors import StartFault
from exai.monitoring.statistics.quantiles import quantile_of
from exai.runtime.clock import SystemClock
from exai.storage.baselines.calls import JournalReader, MeasuredCall, Period
from exai.storage.baselines.rollups import RollupTable
from exai.storage.database import Database
from exai.storage.fleet.replicas import Replicas
from support.daemons import StartDaemon
from support.measured_calls import call_row, write_calls
from support.waiting import wait_until


def baseline(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["baseline", *arguments])


async def write_a_morning(data_dir: Path, slower: float = 1.0) -> None:
    """Calls of the last seconds, which a baseline that began before has."""
    database = await Database.open(config.Database(), data_dir)
    dice = random.Random(1)
    await Replicas(database, SystemClock()).begin("1", "digest", "here")
    rows = [
        call_row(datetime.now(UTC), stages={"generation_ms": slower * dice.lognormvariate(7, 0.3)})
        for _ in range(100)
    ]
    await write_calls(database, rows)
    await database.close()


def test_a_baseline_from_begin_to_comparison(data_dir: Path, tmp_path: Path) -> None:
    assert baseline("list").output.startswith("None.")
    assert "Nothing collects." in baseline("status").output
    begun = baseline("start", "--name", "before", "--for", "24h", "--where", "tool=chat", "--note", "calm")
    assert "before collects until" in begun.stdout
    assert "No daemon runs here" in begun.stderr
    asyncio.run(write_a_morning(data_dir))
    assert "100 calls ended" in baseline("status").output
    assert json.loads(baseline("status", "--json").output)[0]["calls"] == 100
    stopped = baseline("stop").output
    assert "before is stopped, with 100 calls." in stopped
    assert baseline("start", "--name", "after").exit_code == 0
    asyncio.run(write_a_morning(data_dir, slower=2))
    assert "after is stopped" in baseline("stop", "after").output
    out = tmp_path / "report"
    assert baseline("report", "before", "--out", str(out)).exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.json", "report.md"]
    body = json.loads((out / "report.json").read_text())
    assert body["calls"] == 100
    assert baseline("report").output.startswith("# Baseline after")
    assert json.loads(baseline("report", "before", "--json").output) == body
    worse = baseline("compare", "before", "after")
    assert (worse.exit_code, "| worse |" in worse.output) == (1, True)
    assert baseline("compare", "after", "before").exit_code == 0
    assert json.loads(baseline("compare", "after", "before", "--json").output)[0]["verdict"] == "better"
    names = [row["name"] for row in json.loads(baseline("list", "--json").output)]
    assert names == ["after", "before"]
    assert "tool=chat" in baseline("list").output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("start", "--name", "a", "--for", "long"), "write it as 24h, 90m"),
        (("start", "--name", "a", "--speed", "9"), "cannot be hurried"),
        (("start", "--name", "a", "--where", "x"), "NAME=VALUE"),
        (("stop",), "Nothing collects"),
        (("stop", "a"), "There is no baseline 'a'"),
        (("report",), "There is no baseline yet"),
        (("report", "a"), "There is no baseline 'a'"),
        (("compare", "a", "b"), "There is no baseline 'a'"),
        (("load", "missing.toml"), "cannot be read"),
        (("load", "bad.toml"), "is no scenario"),
        (("load", "good.toml", "--rate", "much"), "write it as 2/s"),
        (("load", "good.toml", "--rate", "9/s", "--speed", "1440"), "choose a lower --rate"),
        (("load", "good.toml", "--speed", "10", "--no-demo"), "cannot be hurried"),
        (("load", "away.toml"), "name --speed"),
        (("load", "good.toml", "--for", "1s", "--demo"), "Start it with `exai serve --demo`"),
    ],
)
@pytest.mark.usefixtures("data_dir")
def test_bad_input_says_what_to_do(arguments: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    good = '[[ask]]\ntool = "chat"\narguments = { prompt = "hi" }\n'
    (tmp_path / "bad.toml").write_text("[[ask]]\nno = 1")
    (tmp_path / "good.toml").write_text(good)
    (tmp_path / "away.toml").write_text(f'{good}[[away]]\nafter = "1h"\nlasts = "1h"\n')
    result = baseline(*arguments)
    assert result.exit_code != 0
    assert sentence in str(result.exception)


@pytest.mark.usefixtures("data_dir")
def test_too_few_calls_compare_nothing(data_dir: Path) -> None:
    for name in ("a", "b"):
        baseline("start", "--name", name)
        baseline("stop", name)
    nothing = baseline("compare", "a", "b")
    assert nothing.exit_code == 3
    assert "p50 needs 6 of each" in nothing.output


def test_durations_are_read() -> None:
    assert duration("1.5h") == timedelta(minutes=90)
    assert duration("2d") == timedelta(days=2)
    with pytest.raises(StartFault, match="no duration"):
        duration("24")


DAY = timedelta(hours=24)
SPEED = 2_160.0
QUESTION = Ask("chat", {"model": "glm-5.3-flash", "prompt": "What is a heron?"})
EXAMPLE = Path(__file__).parents[2] / "examples" / "day.toml"


async def test_a_daemon_that_goes_away_is_said_and_what_was_answered_is_kept(
    start_daemon: StartDaemon,
) -> None:
    loading = Loading(Scenario([QUESTION]), 40.0, 1.0, seed=1)
    async with start_daemon() as daemon:
        sending = asyncio.create_task(loading.send_all(daemon.mcp_ws, None))
        await wait_until(lambda: loading.answered >= 5, what="some calls are answered")
        daemon.kill()
        await daemon.ended()
        await sending
    assert loading.answered >= 5
    assert loading.unreachable > 0
    assert "reached no daemon. EXAI went away: start it again" in loading.summary


@pytest.mark.timeout(300)
async def test_a_day_with_a_gap_and_a_restart_is_rehearsed(tmp_path: Path) -> None:
    """B1: the example, by real daemons whose clock is faster; what is reported is what the rows have."""
    scenario = read_scenario(EXAMPLE)
    seconds = DAY.total_seconds() / SPEED
    loading = Loading(scenario, 10.0, seconds, seed=1)
    report = await Rehearsal(scenario, "day", DAY, SPEED, loading).run(tmp_path)
    row, coverage = report.baseline, report.coverage
    assert row.planned_end - row.began_at == DAY
    assert row.speed == SPEED
    assert row.state in {"complete", "insufficient"}
    assert any(sentence.startswith("Compressed") for sentence in report.remarks)
    assert report.emulated == report.calls > 0
    assert 0 <= loading.answered - report.calls <= 3, "the last may begin after the end"
    database = await Database.open(config.Database(), demo_data_dir(tmp_path))
    reader, runs = JournalReader(database), Replicas(database, SystemClock())
    calls: list[MeasuredCall] = []
    async for page in reader.pages(Period(row.began_at, row.planned_end)):
        calls.extend(page)
    models = [each for each in report.subjects if each.kind == "model"]
    assert [each.name for each in models] == ["glm/glm-5.3-flash", "kimi/kimi-k3"]
    for model in models:
        own = (call for call in calls if f"{call.provider}/{call.model}" == model.name)
        latencies = sorted(call.latency_ms or 0.0 for call in own)
        assert model.latency is not None
        assert model.latency.quantiles == tuple(quantile_of(latencies, q) for q in (0.5, 0.9, 0.95, 0.99))
    assert not any("settings changed" in sentence for sentence in report.remarks), (
        "where the emulator listens"
    )
    alive = timedelta()
    for run in await runs.between(row.began_at, row.planned_end):
        alive += min(run.ended_at or row.planned_end, row.planned_end) - max(run.began_at, row.began_at)
    assert coverage.share == pytest.approx(alive / DAY, abs=0.005)
    assert len(coverage.gaps) >= 2
    first = coverage.gaps[0]
    assert timedelta(hours=3) <= first.began - row.began_at + timedelta(minutes=30)
    assert first.ended - first.began >= timedelta(hours=1, minutes=30)
    hours = await RollupTable(database, SystemClock()).between(row.began_at - DAY, row.planned_end)
    assert 0 < sum(hour.calls for hour in hours) <= len(calls)
    await database.close()
