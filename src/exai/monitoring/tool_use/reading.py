"""Reads how tools were used, and judges them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta

import msgspec

from exai.monitoring.baselines.coverage import coverage_of
from exai.monitoring.baselines.rollups import latency_of
from exai.monitoring.tool_use.verdicts import Consolidation, JudgedTool, consolidation_of, judge_tools
from exai.runtime.clock import Clock
from exai.storage.baselines.rollups import RollupRow, RollupTable
from exai.storage.calls.tool_use import CallerUse, ToolUseReader
from exai.storage.database import Database
from exai.storage.fleet.replicas import Replicas

__all__ = ["DayUse", "ToolReport", "ToolReports"]

OK = "ok"


class ToolReport(msgspec.Struct, frozen=True):
    """All tools, and what to do about the list."""

    days: float
    coverage: float
    callers: int
    tools: Sequence[JudgedTool]
    plan: Sequence[Consolidation]


class DayUse(msgspec.Struct):
    """What a day had of a model by a tool."""

    day: date
    provider: str
    model: str
    tool: str
    calls: int = 0
    failed: int = 0
    requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0
    emulated: int = 0


class ToolReports:
    """Reports on the use of tools."""

    def __init__(
        self, database: Database, clock: Clock, listed: Mapping[str, int], lean: Collection[str] = ()
    ) -> None:
        """`listed` has the tokens of each entry of the list, `lean` the names that the shortest list has."""
        self._use = ToolUseReader(database, clock)
        self._rollups = RollupTable(database, clock)
        self._runs = Replicas(database, clock)
        self._clock = clock
        self._listed = listed
        self._lean = lean

    async def tools(self, days: float) -> ToolReport:
        """Judge the tools by the last days.

        Raises:
            StoreFailed: the database is out of reach.
        """
        now = self._clock.utc()
        began = now - timedelta(days=days)
        rows = await self._rollups.between(began, now)
        by_tool: dict[str, list[RollupRow]] = {}
        for row in rows:
            by_tool.setdefault(row.tool, []).append(row)
        coverage = coverage_of(await self._runs.between(began, now), began, now)
        callers = await self._use.active_callers(days)
        judged = judge_tools(
            await self._use.tools(days),
            self._listed,
            days=days,
            coverage=coverage.share,
            callers=callers,
            p50_ms={tool: latency_of(each).quantile(0.5) for tool, each in by_tool.items()},
            followed=await self._use.followed(days),
            lists_sent=await self._lists_sent(days),
        )
        return ToolReport(days, coverage.share, callers, judged, consolidation_of(judged, now.date()))

    async def _lists_sent(self, days: float) -> Mapping[str, int]:
        """Count, by tool, the lists that had its entry."""
        sent = await self._use.lists_sent(days)
        every = sum(sent.values())
        return {tool: every if tool in self._lean else every - sent.get("lean", 0) for tool in self._listed}

    async def days(self, days: float) -> Sequence[DayUse]:
        """Add up the closed hours of the last days by day, model and tool, the latest first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        now = self._clock.utc()
        found: dict[tuple[date, str, str, str], DayUse] = {}
        for row in await self._rollups.between(now - timedelta(days=days), now):
            key = (row.hour.date(), row.provider, row.model, row.tool)
            use = found.setdefault(key, DayUse(*key))
            outcomes = msgspec.json.decode(row.outcomes, type=dict[str, int])
            use.calls += row.calls
            use.failed += row.calls - outcomes.get(OK, 0)
            use.requests += row.requests
            use.input_tokens += row.input_tokens
            use.cached_tokens += row.cached_tokens
            use.output_tokens += row.output_tokens
            use.cost_usd += row.cost_usd
            use.unpriced += row.without_price
            use.emulated += row.emulated
        return [found[key] for key in sorted(found, key=lambda key: (-key[0].toordinal(), *key[1:]))]

    async def by_caller(self, days: float, most: int) -> Sequence[CallerUse]:
        """Sum up what callers used of models by tool, the most expensive first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        return await self._use.by_caller(days, most)
