"""The pages Usage and Baselines show what their routes answer, and begin and end baselines."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from exai import config
from exai.runtime.clock import SystemClock
from exai.storage.calls.use import NamedUse, NameKind, UseCounts
from exai.storage.database import Database
from exai.storage.database_file import FILE_NAME
from exai_emulator import Emulator
from support.browsers import BrowserProcess, Tab
from support.journal_rows import call_row, write_calls
from support.migrated_databases import migrated_sqlite
from support.waiting import wait_until
from support.watched_daemon import WatchedDaemon, watched_daemon

HOURS_AGO = (30, 29, 5)
WORDS = {"same": "no change shown"}
"""Where the page says a verdict by other words."""
COSTS = (0.25, 0.5, 1.5)


async def rows_of(tab: Tab, caption: str) -> list[list[str]]:
    """The texts of the cells of a table."""
    script = """(caption) => [...document.querySelectorAll(`main [aria-label="${caption}"] tbody tr:not(.space)`)]
      .map((row) => [...row.children].map((cell) => cell.textContent))"""
    found: list[list[str]] = await tab.evaluate(script, caption)
    return found


async def facts_of(tab: Tab) -> dict[str, str]:
    script = """() => Object.fromEntries([...document.querySelectorAll("main .facts > div")]
      .map((fact) => [fact.querySelector("dt").textContent, fact.querySelector("dd").textContent]))"""
    found: dict[str, str] = await tab.evaluate(script)
    return found


def money(value: float) -> str:
    return f"${value:.4f}" if 0 < value < 1 else f"${value:.2f}"


@pytest.fixture
async def used(emulator: Emulator, tmp_path: Path) -> AsyncIterator[WatchedDaemon]:
    """A daemon with calls in hours that are closed."""
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    migrated_sqlite(data_dir / FILE_NAME)
    now = datetime.now(UTC)
    database = await Database.open(config.Database(), data_dir)
    rows = [
        call_row(
            f"call_{ago}_{number}",
            now - timedelta(hours=ago),
            cost_usd=cost,
            cached_tokens=10,
            outcome="ok" if number else "failed",
            error_code=None if number else "circuit_open",
        )
        for ago, cost in zip(HOURS_AGO, COSTS, strict=True)
        for number in range(3)
    ]
    await write_calls(database, rows)
    use = UseCounts(database, SystemClock())
    use.add_soon(
        [
            ("alice", NamedUse(NameKind.MODEL, "chat", "glm-5.3", calls=9, failures=3, cost_usd=5.625)),
            ("alice", NamedUse(NameKind.TOOL, "chat", "chat", calls=9, failures=3, cost_usd=5.625)),
            ("alice", NamedUse(NameKind.OLDER_NAME, "chat", "ask", calls=4, failures=0, cost_usd=0.0)),
            ("bob", NamedUse(NameKind.MODEL, "think", "kimi-k3", calls=2, failures=0, cost_usd=0.5)),
        ]
    )
    await database.close()
    async with watched_daemon(emulator, data_dir, is_empty=True) as daemon:
        yield daemon


async def test_usage_is_what_its_routes_answer(browser: BrowserProcess, used: WatchedDaemon) -> None:
    async with browser.tab() as tab:

        async def are_rolled_up() -> bool:
            told: Any = await used.document("/api/usage/days?days=30")
            return bool(sum(row["calls"] for row in told["days"]) == 3 * len(HOURS_AGO))

        await wait_until(are_rolled_up, what="every closed hour in the rollups")
        await tab.open(f"{used.address}/usage")
        await tab.settled()
        daily: Any = await used.document("/api/usage/days?days=30")
        assert daily["days"]
        assert await rows_of(tab, "Use by day, model and tool") == [
            [
                row["day"],
                f"{row['provider']}/{row['model']}",
                row["tool"],
                str(row["calls"]),
                str(row["failed"]),
                str(row["requests"]),
                f"{row['input_tokens']:,}",
                f"{row['cached_tokens']:,}",
                f"{row['output_tokens']:,}",
                money(row["cost_usd"]),
                str(row["unpriced"]),
            ]
            for row in daily["days"]
        ]
        assert sum(row["calls"] for row in daily["days"]) == 3 * len(HOURS_AGO)
        assert await rows_of(tab, "Use by caller, model and tool, the most expensive first") == [
            ["alice", "glm-5.3", "chat", "9", "3", "$5.63"],
            ["bob", "kimi-k3", "think", "2", "0", "$0.5000"],
        ]
        tools: Any = (await used.document("/api/usage/tools?days=30"))["tools"]
        shown = await rows_of(tab, "Use of tools")
        assert [row[0] for row in shown] == [each["tool"] for each in tools]
        chat = next(row for row in shown if row[0] == "chat")
        told = next(each for each in tools if each["tool"] == "chat")
        assert chat[1:3] == [str(told["calls"]), str(told["failures"])]
        assert chat[4:6] == [str(told["callers"]), str(told["clients"])]
        assert "ask 4" in chat
        assert chat[-1] == told["why"]
        figures = await rows_of(tab, "Cost by day, of calls that are charged: figures")
        days = {row["day"] for row in daily["days"]}
        assert {row[0] for row in figures} == (days if len(days) > 1 else set())


async def test_a_baseline_is_begun_read_and_ended_on_its_pages(
    browser: BrowserProcess, empty: WatchedDaemon
) -> None:
    async with browser.tab() as tab:

        async def press(name: str) -> None:
            await tab.do(lambda page: page.get_by_role("button", name=name, exact=True).click())

        async def run() -> Any:
            told: Any = await empty.document("/api/baselines")
            return told["runs"][0]

        async def fill(label: str, text: str) -> None:
            await tab.do(lambda page: page.get_by_label(label, exact=True).fill(text))

        await tab.open(f"{empty.address}/baselines")
        await tab.see("text=No baseline has been taken.")
        assert await tab.do(lambda page: page.get_by_role("button", name="Start").is_disabled())
        await fill("Name", "calm-days")
        await fill("Hours", "3")
        await fill("Only calls with", "tool")
        await press("Start")
        await tab.see(".notices p.bad:has-text('NAME=VALUE')")
        assert await empty.document("/api/baselines") == {"runs": []}
        await fill("Only calls with", "tool=chat")
        await fill("Note", "before the change")
        await press("Start")
        await tab.see("main [data-row]:text-is('calm-days')")
        begun = await run()
        assert (begun["state"], begun["filter"], begun["note"]) == (
            "collecting",
            "tool=chat",
            "before the change",
        )
        lasts = datetime.fromisoformat(begun["planned_end"]) - datetime.fromisoformat(begun["began_at"])
        assert lasts == timedelta(hours=3)
        for number in range(8):
            await empty.client.tool("chat", {"prompt": f"number {number}", "model": "glm-5.3"})
        await press("Stop")
        assert (await run())["state"] == "collecting"
        await press("Stop it now?")
        await tab.see("main >> text=stopped")
        stopped = await run()
        assert (stopped["state"], stopped["calls"]) == ("stopped", 8)
        assert "calm-days is stopped, with 8 calls." in await tab.text(".notices")
        await tab.do(lambda page: page.locator("main [data-row]").first.click())
        await tab.see("h1:text-is('Baseline calm-days')")
        await tab.settled()
        await shows_its_report(tab, await empty.document("/api/baselines/calm-days"))


async def shows_its_report(tab: Tab, told: Any) -> None:
    report = told["report"]
    facts = await facts_of(tab)
    assert facts["State"] == told["run"]["state"]
    assert facts["Of"] == told["run"]["filter"]
    assert facts["Calls"] == str(report["calls"])
    assert facts["Coverage"] == f"{100 * report['coverage']['share']:.1f} %"
    assert facts["Releases"] == ", ".join(report["coverage"]["releases"])
    text = await tab.text("main")
    assert all(remark in text for remark in report["remarks"])
    latency = await rows_of(tab, "Latency by provider, model and tool")
    assert [row[:2] for row in latency] == [
        [f"{each['kind']} {each['name']}", str(each["calls"])] for each in report["subjects"]
    ]
    for row, each in zip(latency, report["subjects"], strict=True):
        by_share = {one["share"]: one for one in each["latency"]["quantiles"]}
        assert row[3].endswith(f"{milliseconds(by_share[0.5]['high'])})")
        assert row[5] == f"≥ {milliseconds(by_share[0.95]['value'])}"
        assert row[7] == milliseconds(each["latency"]["longest"])
    stages = await rows_of(tab, "Stages by provider, model and tool")
    assert [row[:2] for row in stages] == [
        [f"{each['kind']} {each['name']}", stage.removesuffix("_ms").replace("_", " ")]
        for each in report["subjects"]
        for stage in each["stages"]
    ]


def milliseconds(value: float) -> str:
    """A time as the page writes it."""
    if value < 1:
        return f"{value:.2f} ms"
    return f"{int(value + 0.5)} ms" if value < 1000 else f"{value / 1000:.2f} s"


async def test_what_changed_between_baselines_is_what_the_route_answers(
    browser: BrowserProcess, busy: WatchedDaemon
) -> None:
    async with browser.tab() as tab:
        await tab.open(f"{busy.address}/baselines/after?with=before")
        await tab.see("main >> text=Verdict")
        changes: Any = (await busy.document("/api/baselines/before/compare/after"))["changes"]
        assert changes
        shown = await rows_of(tab, "What changed from before to after")
        assert [(row[0], row[-1].lstrip("●▲◆○ ")) for row in shown] == [
            (
                f"{each['kind']} {each['name']}, {100 * each['share']:g} %",
                WORDS.get(each["verdict"], each["verdict"]),
            )
            for each in changes
        ]
