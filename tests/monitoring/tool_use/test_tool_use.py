"""U1: a month of use with what is planted in it, over real rows; and verdicts one by one."""

from datetime import UTC, date, datetime, timedelta

import pytest

from exai.app.watching.tool_use import listed_tokens
from exai.monitoring.baselines.rollups import Rollups
from exai.monitoring.tool_use.reading import ToolReport, ToolReports
from exai.monitoring.tool_use.verdicts import consolidation_of, judge_tools
from exai.runtime.clock import ManualClock
from exai.storage.baselines.calls import JournalReader
from exai.storage.baselines.rollups import RollupTable
from exai.storage.calls.tool_use import ToolUse
from exai.storage.calls.use import NamedUse, NameKind, UseCounts
from exai.storage.database import Database
from exai.storage.fleet.replicas import Replicas
from support.measured_calls import call_row, write_calls
from support.queued_writes import commit_queued

BEGAN = datetime(2026, 10, 30, 0, 0, tzinfo=UTC)
DAYS = 30
LISTED = {"chat": 200, "think": 200, "debug": 60, "write": 700, "plan": 200, "challenge": 200}
CALLERS = ("alice", "bob", "carol", "dave", "erin")


class Month:
    """Thirty days of a daemon, as its database has them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = ManualClock(BEGAN.timestamp())
        self.counts = UseCounts(database, self.clock)

    async def pass_by(self, callers: tuple[str, ...]) -> ToolReport:
        runs = Replicas(self.database, self.clock)
        await runs.begin("1", "digest", "here")
        for day in range(DAYS):
            for place, caller in enumerate(callers):
                self._list(caller, "lean" if caller == "bob" else "standard")
                self._use(caller, "chat", 20)
                if caller == "alice":
                    self._use(caller, "think", 3)
                if day == place * 3:  # rarely, but all of them
                    self._use(caller, "debug", 1)
            self.clock.advance(86_400)
        self._use("alice", "write", 2)
        await runs.beat()
        await commit_queued(self.database)
        rows = []
        for number in range(60):
            at = BEGAN + timedelta(hours=number * 10)
            rows.append(call_row(at, owner="alice", tool="think"))
            rows.append(call_row(at + timedelta(seconds=70), owner="alice", tool="chat"))
            rows.append(call_row(at + timedelta(seconds=75), owner="bob", tool="debug"))
        await write_calls(self.database, rows)
        rollups = Rollups(
            JournalReader(self.database), RollupTable(self.database, self.clock), self.clock, 900
        )
        while await rollups.make():
            pass
        return await ToolReports(self.database, self.clock, LISTED, ("chat",)).tools(DAYS + 0.01)

    def _list(self, owner: str, profile: str) -> None:
        self.counts.add_soon([(owner, NamedUse(NameKind.LIST, "", profile, 1, 0, 0.0))])

    def _use(self, owner: str, tool: str, calls: int) -> None:
        names = ((NameKind.TOOL, tool), (NameKind.CLIENT, f"client of {owner}"), (NameKind.OUTCOME, "ok"))
        self.counts.add_soon([(owner, NamedUse(kind, tool, name, calls, 0, 0.01)) for kind, name in names])


@pytest.fixture
def month(database: Database) -> Month:
    return Month(database)


async def test_verdicts_are_those_that_were_planted(month: Month) -> None:
    report = await month.pass_by(CALLERS)
    assert report.coverage == pytest.approx(1, abs=0.01)
    assert report.callers == 5
    verdicts = {each.tool: each.verdict for each in report.tools}
    assert verdicts == {
        "chat": "used",
        "think": "overlaps",  # two of three calls are asked again of chat
        "debug": "used",  # rarely, but by five callers
        "write": "rare",
        "plan": "unused",
        "challenge": "unused",
    }
    chat = report.tools[0]
    assert (chat.tool, chat.calls, chat.callers, chat.clients) == ("chat", 3_000, 5, 5)
    assert chat.outcomes == {"ok": 3_000}
    assert chat.p50_ms == pytest.approx(1_000, rel=0.01)
    assert (chat.lists_sent, chat.tokens_read) == (150, 150 * 200), "bob's lists are lean, and have it too"
    think = next(each for each in report.tools if each.tool == "think")
    assert think.followed_by == {"chat": 60}
    assert think.lists_sent == 120
    assert {step.tool for step in report.plan} == {"think", "write", "plan", "challenge"}
    step = report.plan[0]
    assert step.remove_on - step.alias_from == timedelta(days=90)


async def test_with_one_caller_there_is_not_enough_use(month: Month) -> None:
    report = await month.pass_by(("alice",))
    verdicts = {each.tool: each.verdict for each in report.tools}
    assert verdicts["plan"] == "not enough use"
    assert verdicts["write"] == "used"
    assert [step.tool for step in report.plan] == ["think"]


async def test_days_add_up_by_model_and_tool(month: Month) -> None:
    await month.pass_by(CALLERS)
    reports = ToolReports(month.database, month.clock, LISTED)
    days = await reports.days(DAYS + 1)
    assert sum(day.calls for day in days) == 180
    assert days[0].day >= days[-1].day
    assert {day.model for day in days} == {"glm-5.3"}
    assert await reports.by_caller(DAYS, 10) == []


def judged(
    calls: int, then: dict[str, int], *, days: float = 30, coverage: float = 1.0, callers: int = 3
) -> str:
    used = {"a": ToolUse("a", calls, callers=2), "b": ToolUse("b", 10_000, callers=3)}
    found = judge_tools(
        used,
        {"a": 500, "b": 500},
        days=days,
        coverage=coverage,
        callers=callers,
        p50_ms={},
        followed={"a": then},
        lists_sent={},
    )
    return next(f"{each.verdict}: {each.why}" for each in found if each.tool == "a")


def test_what_is_repeated_at_another_overlaps_with_it() -> None:
    assert judged(50, {"b": 30}) == "overlaps: 30 of 50 calls were followed by b within two minutes."
    assert judged(50, {"b": 29}).startswith("costly to list: 50 of 10050 calls, and 500 of 1000 tokens")
    assert judged(50, {"a": 50}).startswith("costly to list")
    assert judged(10, {"b": 10}).startswith("costly to list")


def test_what_is_missing_is_said() -> None:
    assert judged(0, {}, days=7) == "not enough use: 0 calls, but 7 days are too few, 30 are needed."
    assert (
        judged(0, {}, coverage=0.5)
        == "not enough use: 0 calls, but EXAI ran for 50% of the time, and 95% are needed."
    )
    assert judged(0, {}, callers=1) == "not enough use: 0 calls, but 1 callers are too few, 3 are needed."
    assert judged(0, {}) == "unused: 0 calls in 30 days, of 3 callers."


def test_tools_that_are_not_listed_need_no_plan() -> None:
    found = judge_tools(
        {"echo": ToolUse("echo", 1, callers=1), "b": ToolUse("b", 10_000, callers=3)},
        {"b": 5},
        days=30,
        coverage=1,
        callers=3,
        p50_ms={},
        followed={},
        lists_sent={},
    )
    assert [each.verdict for each in found] == ["used", "rare"]
    assert consolidation_of(found, date(2026, 11, 30)) == []


def test_the_entries_of_the_usual_list_have_their_tokens() -> None:
    whole = listed_tokens()
    assert whole["chat"] > 50
    assert set(whole) - set(listed_tokens(["chat"])) == {"chat"}
