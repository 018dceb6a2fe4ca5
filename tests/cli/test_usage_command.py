"""`exai usage`: the journal by caller, without a daemon."""

import asyncio
import json
from datetime import date
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from exai import config
from exai.callers import Caller, Door
from exai.cli import build_app
from exai.cli.usage.tools import as_markdown
from exai.costs import Usage
from exai.monitoring.tool_use.reading import ToolReport
from exai.monitoring.tool_use.verdicts import JudgedTool, consolidation_of
from exai.runtime.clock import SystemClock
from exai.storage.calls.journal import CallBegun, CallEnd, Journal
from exai.storage.database import Database
from support.request_records import record


async def write_a_call(data_dir: Path, subject: str, **lacking: Any) -> None:
    database = await Database.open(config.Database(), data_dir)
    journal = Journal(database, SystemClock())
    await journal.begin(CallBegun("call_1", Caller(subject=subject, door=Door.HTTP), "chat", None, None))
    usage = Usage(input=1_200, output=34)
    requests = (record("glm-5.3", usage, cost_usd=0.5, **lacking),)
    journal.end_soon(CallEnd("call_1", "ok", None, "glm-5.3", "glm", None, usage, 0.5, {}, requests))
    await database.close()


def usage(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["usage", *arguments])


def test_usage_is_printed_by_caller(data_dir: Path) -> None:
    assert usage().output == "No calls within 30 days.\n"
    asyncio.run(write_a_call(data_dir, "alice\x1b[2J"))
    lines = usage().output.splitlines()
    assert lines[1].split() == ["'alice\\x1b[2J'", "glm-5.3", "1", "0", "1200", "0", "34", "0.5000", "0", "0"]
    assert lines[-1] == "1 calls, 0.5000 USD by list price."
    assert usage("--caller", "bob").output.startswith("No calls")
    (row,) = json.loads(usage("--json").output)
    assert (row["caller"], row["input_tokens"], row["cost_usd"]) == ("alice\x1b[2J", 1_200, 0.5)


def test_what_was_emulated_is_in_no_sum(data_dir: Path) -> None:
    asyncio.run(write_a_call(data_dir, "alice", emulated=True))
    lines = usage().output.splitlines()
    assert lines[1].split()[1:3] == ["glm-5.3", "(emulated)"]
    assert lines[-1] == (
        "0 calls, 0.0000 USD by list price. Emulated, and not in this sum: 1 calls, which would have cost 0.5000 USD; "
        "nothing was charged."
    )


def test_a_sum_says_what_it_lacks(data_dir: Path) -> None:
    asyncio.run(write_a_call(data_dir, "alice", unreported=2, without_price=True))
    assert usage().output.splitlines()[-1] == (
        "1 calls, at least 0.5000 USD by list price: a part of 1 requests has no known price; 2 of the requests sent "
        "ended before the provider told their usage."
    )
    (row,) = json.loads(usage("--json").output)
    assert (row["unreported"], row["without_price"], row["cache_write_tokens"]) == (2, 1, 0)


def test_tools_are_judged_by_their_use(data_dir: Path) -> None:
    asyncio.run(write_a_call(data_dir, "alice"))
    text = usage("tools").output
    assert "Tools in 30 days: 0 callers" in text
    assert "| chat | 0 |" in text
    assert "not enough use: 0 calls, but EXAI ran for 0% of the time" in text
    report = json.loads(usage("tools", "--days", "7", "--json").output)
    assert report["days"] == 7
    assert report["plan"] == []
    assert {each["verdict"] for each in report["tools"]} == {"not enough use"}


def test_a_plan_says_when_what_could_go() -> None:
    unused = JudgedTool("plan", 0, 0, 0, 0, {}, None, 0.0, None, {}, 200, 7, {}, "unused", "0 calls.")
    used = JudgedTool(
        "chat", 9, 0, 3, 1, {"ok": 9}, 1_500.0, 0.5, "2026-11-29", {}, 100, 7, {}, "used", "9 calls."
    )
    judged = (used, unused)
    text = as_markdown(ToolReport(30, 1.0, 3, judged, consolidation_of(judged, date(2026, 11, 30))))
    assert "| chat | 9 | 0 | 3 | 1 | 1.50 s | 0.5000 | 2026-11-29 | 100 | 7 | 700 | used: 9 calls. |" in text
    assert "| plan | 2026-11-30 | 2026-12-30 | 2027-03-30 | 200 |" in text
    assert '`[tools] hidden = ["plan"]`' in text
