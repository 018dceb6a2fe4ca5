"""Baselines: begun and ended by people, or by their plan; reported from the journal, and kept when they are over."""

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from exai.errors import BadArguments
from exai.monitoring.baselines.advice import Limits
from exai.monitoring.baselines.coverage import BEAT, coverage_of
from exai.monitoring.baselines.measuring import Measuring
from exai.monitoring.baselines.report import BaselineReport
from exai.runtime.clock import Clock
from exai.storage.baselines.calls import FILTERS, JournalReader, Period
from exai.storage.baselines.runs import BaselineRow, BaselineState, BaselineTable
from exai.storage.error_tracking.sample_table import SampleTable
from exai.storage.fleet.replicas import Replicas

__all__ = ["BaselineTables", "Baselines", "chosen_by", "read_report"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
MOST_DAYS = 60
LAG = "loop_lag_ms"
WORST_MINUTES = 3
UNKNOWN = "unknown"


class BaselineTables(msgspec.Struct, frozen=True):
    """What baselines are made of."""

    baselines: BaselineTable
    calls: JournalReader
    runs: Replicas
    samples: SampleTable


class Baselines:
    """Begins, ends and reports baselines."""

    def __init__(self, tables: BaselineTables, clock: Clock, limits: Limits, call_s: float) -> None:
        """`call_s` is the longest time of a call."""
        self._tables = tables
        self._clock = clock
        self._limits = limits
        self._grace = timedelta(seconds=call_s) + timedelta(minutes=1)

    async def start(
        self,
        name: str,
        lasts: timedelta,
        *,
        where: str = "",
        note: str = "",
        speed: float = 1.0,
        load: str | None = None,
    ) -> BaselineRow:
        """Begin a baseline.

        Args:
            name: by which it is asked for.
            lasts: how long calls are collected.
            where: which calls, as `tool=chat provider=glm`.
            note: for people.
            speed: of the clock.
            load: what is sent on purpose, as JSON.

        Raises:
            BadArguments: the name is taken or is none, or the calls cannot be chosen so.
            StoreFailed: it was not kept.
        """
        if NAME.fullmatch(name) is None:
            raise BadArguments(
                f"{ascii(name)[:80]} is no name of a baseline: letters, digits, dots and dashes, 60 at most."
            )
        if not timedelta() < lasts <= timedelta(days=MOST_DAYS):
            raise BadArguments(f"A baseline lasts for more than nothing and up to {MOST_DAYS} days.")
        chosen_by(where)
        now = self._clock.utc()
        latest = await self._tables.runs.latest(1)
        release, digest = (latest[0].release, latest[0].settings_digest) if latest else (UNKNOWN, UNKNOWN)
        row = BaselineRow(
            name, "collecting", now, now + lasts, None, where.strip(), note, release, digest, speed, load
        )
        if not await self._tables.baselines.begin(row):
            raise BadArguments(f"There is a baseline {name!r} already; choose another name.")
        return row

    async def stop(self, name: str) -> BaselineReport:
        """End a baseline now, and keep its report.

        Raises:
            BadArguments: there is none of this name, or it is over.
            StoreFailed: it goes on.
        """
        row = await self.named(name)
        if row.state != "collecting":
            raise BadArguments(f"The baseline {name!r} is over: {row.state}.")
        now = self._clock.utc()
        return await self._end(row, min(now, row.planned_end), "stopped" if now < row.planned_end else None)

    async def listed(self) -> Sequence[BaselineRow]:
        """Read the baselines, the latest first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        return await self._tables.baselines.listed()

    async def any_collects(self) -> bool:
        """Say whether the time of a baseline has begun and is not over.

        Raises:
            StoreFailed: the database is out of reach.
        """
        now = self._clock.utc()
        return any(now < row.planned_end for row in await self._tables.baselines.collecting())

    async def named(self, name: str) -> BaselineRow:
        """Read one.

        Raises:
            BadArguments: there is none of this name.
            StoreFailed: the database is out of reach.
        """
        row = await self._tables.baselines.named(name)
        if row is None:
            raise BadArguments(
                f"There is no baseline {ascii(name)[:80]}; `exai baseline list` has their names."
            )
        return row

    async def report(self, name: str) -> BaselineReport:
        """Return the report that was kept, or of one that collects what there is so far.

        Raises:
            BadArguments: there is none of this name.
            StoreFailed: the database is out of reach.
        """
        row = await self.named(name)
        kept = await self._tables.baselines.report(name)
        if kept is not None:
            return read_report(kept)
        return await self._measured(row, min(self._clock.utc(), row.planned_end))

    async def end_due(self) -> int:
        """Keep the reports of baselines whose time is over; return how many.

        One waits for calls that still run, as long as they may.

        Raises:
            StoreFailed: the others are still to be ended.
        """
        now, ended = self._clock.utc(), 0
        for row in await self._tables.baselines.collecting():
            if now < row.planned_end:
                continue
            period = Period(row.began_at, row.planned_end, chosen_by(row.filter))
            if now < row.planned_end + self._grace and await self._tables.calls.open_calls(period):
                continue
            await self._end(row, row.planned_end, None)
            ended += 1
        return ended

    async def _end(self, row: BaselineRow, ended_at: datetime, state: BaselineState | None) -> BaselineReport:
        report = await self._measured(row, ended_at)
        state = state or report.state
        ended = msgspec.structs.replace(row, state=state, ended_at=ended_at)
        report = msgspec.structs.replace(report, baseline=ended)
        body = msgspec.json.encode(report).decode()
        if not await self._tables.baselines.end(row, state, ended_at, body):
            return await self.report(row.name)
        return report

    async def _measured(self, row: BaselineRow, until: datetime) -> BaselineReport:
        period = Period(row.began_at, until, chosen_by(row.filter))
        measuring = Measuring(row, until)
        async for page in self._tables.calls.pages(period):
            measuring.add(page)
        runs = await self._tables.runs.between(row.began_at - BEAT, until)
        load = await self._tables.samples.between(row.began_at, until)
        worst = await self._tables.samples.highest(LAG, row.began_at, until, WORST_MINUTES)
        still_open = await self._tables.calls.open_calls(period)
        beat = max(BEAT, timedelta(seconds=row.speed * 0.05))
        coverage = coverage_of(runs, row.began_at, until, beat)
        # Sorting a day of calls takes long enough to be felt by others on the loop.
        return await asyncio.to_thread(measuring.report, coverage, self._limits, load, worst, still_open)


def chosen_by(where: str) -> tuple[tuple[str, str], ...]:
    """Read which calls are chosen, as `tool=chat provider=glm`.

    Raises:
        BadArguments: a term is none.
    """
    terms = []
    for term in where.replace(",", " ").split():
        name, is_one, value = term.partition("=")
        if name not in FILTERS or not is_one or not value:
            raise BadArguments(
                f"{ascii(term)[:80]} chooses no calls: write NAME=VALUE, as `tool=chat`, "
                f"with one of {', '.join(FILTERS)}."
            )
        terms.append((name, value))
    return tuple(terms)


def read_report(body: str) -> BaselineReport:
    """Read a report as it is kept."""
    return msgspec.json.decode(body, type=BaselineReport)
