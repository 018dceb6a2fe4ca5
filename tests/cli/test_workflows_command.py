"""`exai workflows`: runs listed, shown and cancelled, and definitions checked."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from exai import config
from exai.cli import build_app
from exai.errors import StartFault
from exai.runtime.clock import ManualClock, SystemClock
from exai.storage.database import Database
from exai.storage.workflows.archive import RunArchive, RunSelection
from exai.storage.workflows.runs import Run, Step, WorkflowTables
from exai.workflows.faults import RunBusy
from exai.workflows.outcomes import Outcome
from exai.workflows.run_record import RunRecord

CLOCK = ManualClock()
RUN = Run(
    workflow_id="wf_1",
    owner="anna",
    conversation_id="conv_1",
    tool="think",
    version=1,
    form="server",
    state="interrupted",
    stage="answer",
    digest="secret digest",
    process="p",
    answer=None,
    revision=1,
    created_at=CLOCK.utc(),
    updated_at=CLOCK.utc(),
)
STEP = Step(
    "answer",
    "request",
    "ended",
    "q",
    2,
    "call_1",
    CLOCK.utc(),
    '{"text": "x"}',
    "glm-5.3",
    0.25,
    1.5,
    CLOCK.utc(),
)
OUTCOME = Outcome(
    workflow_id="wf_2",
    conversation_id="conv_2",
    answer="A heron.",
    models=("glm-5.3",),
    notes=("It is half.",),
)


def exai(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["workflows", *arguments])


async def keep(database: Database) -> None:
    """Keep two runs: one that was interrupted, and one of another owner that is done."""
    tables = WorkflowTables(database, CLOCK)
    await tables.begin(RUN)
    assert await tables.change(RUN, [STEP]) is not None
    done = msgspec.structs.replace(RUN, workflow_id="wf_2", owner="ben", tool="debug", state="done")
    await tables.begin(msgspec.structs.replace(done, answer=msgspec.json.encode(OUTCOME).decode()))


@pytest.fixture
def two_runs(data_dir: Path) -> None:
    """The data folder of the commands has them."""

    async def kept() -> None:
        database = await Database.open(config.Database(), data_dir)
        try:
            await keep(database)
        finally:
            await database.close()

    data_dir.mkdir(parents=True)
    asyncio.run(kept())


@pytest.fixture
async def archive(database: Database) -> RunArchive:
    await keep(database)
    return RunArchive(database, SystemClock())


async def test_runs_are_summed_up(archive: RunArchive) -> None:
    rows = {row.workflow_id: row for row in await archive.listing(RunSelection())}
    assert (rows["wf_1"].requests, rows["wf_1"].usd, rows["wf_1"].state) == (2, 0.25, "interrupted")
    assert (rows["wf_2"].requests, rows["wf_2"].usd, rows["wf_2"].owner) == (0, 0.0, "ben")
    for selection, ids in (
        (RunSelection(owner="anna"), ["wf_1"]),
        (RunSelection(tool="debug"), ["wf_2"]),
        (RunSelection(state="done"), ["wf_2"]),
        (RunSelection(owner="anna", state="done"), []),
    ):
        assert [row.workflow_id for row in await archive.listing(selection)] == ids
        assert await archive.count(selection) == len(ids)
    assert len(await archive.listing(RunSelection(), 1)) == 1


async def test_a_cancelled_run_is_taken_from_the_call_that_works_at_it(
    archive: RunArchive, database: Database
) -> None:
    tables = WorkflowTables(database, CLOCK)
    run = await archive.get("wf_1")
    assert run is not None
    record = RunRecord(tables, run, await tables.steps(run), CLOCK)
    await record.take()
    assert await archive.cancel("wf_1")
    with pytest.raises(RunBusy, match="cancelled"):
        await record.begin(msgspec.structs.replace(STEP, step="refute", state="begun"))
    cancelled = await archive.get("wf_1")
    assert cancelled is not None
    assert cancelled.state == "cancelled"
    assert not await archive.cancel("wf_1")
    assert not await archive.cancel("wf_2"), "it is done"
    assert not await archive.cancel("wf_3")


@pytest.mark.usefixtures("two_runs")
def test_the_list_says_nothing_of_what_was_asked() -> None:
    listed = exai("list")
    assert listed.exit_code == 0, listed.stderr
    head, *rows = listed.stdout.splitlines()
    assert head.split()[:3] == ["run", "tool", "state"]
    assert sorted(row.split()[0] for row in rows) == ["wf_1", "wf_2"]
    assert exai("list", "--owner", "anna", "--state", "done").stdout == "There are none.\n"
    assert [row["workflow_id"] for row in json.loads(exai("list", "--tool", "debug", "--json").stdout)] == [
        "wf_2"
    ]
    assert "1 more; --most shows them." in exai("list", "--most", "1").stdout


@pytest.mark.usefixtures("two_runs")
def test_a_run_is_shown_with_its_steps_and_its_answer() -> None:
    shown = exai("show", "wf_1")
    assert shown.exit_code == 0, shown.stderr
    assert "interrupted, at answer" in shown.stdout
    (step,) = [line for line in shown.stdout.splitlines() if line.startswith("answer")]
    assert step.split() == ["answer", "request", "ended", "2", "glm-5.3", "0.2500", "1.5"]
    answered = exai("show", "wf_2").stdout
    assert answered.endswith("\nNote: It is half.\n\nA heron.\n")
    assert "heron" not in exai("show", "wf_2", "--no-answer").stdout
    told = json.loads(exai("show", "wf_2", "--json").stdout)
    assert (told["outcome"]["answer"], told["state"]) == ("A heron.", "done")
    assert "secret digest" not in exai("show", "wf_1", "--json").stdout


@pytest.mark.usefixtures("two_runs")
def test_a_run_is_cancelled_once() -> None:
    assert exai("cancel", "wf_1").stdout == "Cancelled.\n"
    assert exai("cancel", "wf_1").stdout == "It is cancelled already; nothing is changed.\n"
    assert exai("cancel", "wf_2").stdout == "It is done already; nothing is changed.\n"


@pytest.mark.parametrize("command", ["show", "cancel"])
@pytest.mark.usefixtures("two_runs")
def test_an_unknown_run_is_a_sentence(command: str) -> None:
    result = exai(command, "wf_\x1b[2J")
    assert isinstance(result.exception, StartFault)
    assert "exai workflows list" in str(result.exception)
    assert "\x1b" not in str(result.exception)


DEFINITION = Path("src/exai/workflows/bundled")


def test_a_definition_is_checked_as_the_daemon_would(
    data_dir: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    bundled = request.config.rootpath / DEFINITION
    for name in ("think.toml", "think.md"):
        (tmp_path / name).write_bytes((bundled / name).read_bytes())
    right = exai("check", "think.toml")
    assert right.exit_code == 0, right.stderr
    assert right.stdout.startswith("think.toml: think ")
    broken = (tmp_path / "think.toml").read_text().replace("[budget]", "[bugdet]")
    (tmp_path / "wrong.toml").write_text(broken)
    (tmp_path / "other.toml").write_text(
        (tmp_path / "think.toml").read_text().replace('"think"', '"other"', 1)
    )
    (tmp_path / "other.md").write_bytes((tmp_path / "think.md").read_bytes())
    for file, says in (
        ("wrong.toml", "bugdet"),
        ("missing.toml", "missing.toml"),
        ("other.toml", "run by no tool"),
    ):
        wrong = exai("check", file, "think.toml")
        assert (wrong.exit_code, wrong.stdout.count("think.toml:")) == (1, 1), file
        assert says in wrong.stderr
