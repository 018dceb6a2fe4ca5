"""Adds up hours of the journal, once they are closed, and again when a call of theirs got its end later.

An hour is closed when no call that began in it can still be running: its end, the longest time of a call, and a
minute. What is added up is a function of the journal's rows, so an hour that is made twice is the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from exai.monitoring.statistics.histogram import Histogram
from exai.runtime.clock import Clock
from exai.storage.baselines.calls import JournalReader, MeasuredCall, Period
from exai.storage.baselines.rollups import HOUR, KEPT, RollupRow, RollupTable
from exai.storage.schema import TIMINGS

__all__ = ["MOST_HOURS", "Rollups", "add_up", "histograms_of", "latency_of"]

MARGIN = timedelta(minutes=1)
MOST_HOURS = 48
"""That are made in one run; a journal of months is caught up with in several."""
OK = "ok"
LATENCY = "latency_ms"

Key = tuple[str, str, str]


class Rollups:
    """Keeps the rollups up to date."""

    def __init__(self, reader: JournalReader, table: RollupTable, clock: Clock, call_s: float) -> None:
        """`call_s` is the longest time of a call."""
        self._reader = reader
        self._table = table
        self._clock = clock
        self._open_for = timedelta(seconds=call_s) + MARGIN

    async def make(self) -> int:
        """Make the hours that are due, the oldest first; return how many.

        Raises:
            StoreFailed: the database is out of reach; those before are kept.
        """
        latest, again = await self._table.made()
        due = [*again, *await self._new_hours(latest)][:MOST_HOURS]
        for hour in due:
            await self._make(hour)
        return len(due)

    async def _new_hours(self, latest: datetime | None) -> Sequence[datetime]:
        now = self._clock.utc()
        first = await self._reader.first() if latest is None else latest + HOUR
        if first is None:
            return []
        hour = _begin_of(max(first, now - KEPT))
        hours: list[datetime] = []
        while hour + HOUR + self._open_for <= now and len(hours) < MOST_HOURS:
            hours.append(hour)
            hour += HOUR
        return hours

    async def _make(self, hour: datetime) -> None:
        period = Period(hour, hour + HOUR)
        still_open = await self._reader.open_calls(period)
        groups: dict[Key, _Group] = {}
        async for page in self._reader.pages(period):
            _add(groups, page)
        rows = [group.row(hour, *key) for key, group in sorted(groups.items())]
        await self._table.replace(hour, rows, still_open=still_open)


def add_up(hour: datetime, calls: Iterable[MeasuredCall]) -> list[RollupRow]:
    """Add up the calls of an hour, such as the one that is not over, by tool, provider and model."""
    groups: dict[Key, _Group] = {}
    _add(groups, calls)
    return [group.row(hour, *key) for key, group in sorted(groups.items())]


def histograms_of(row: RollupRow) -> Mapping[str, Histogram]:
    """Read the histograms of a row by stage."""
    packed = msgspec.json.decode(row.stages, type=dict[str, tuple[float, list[tuple[int, int]]]])
    return {stage: Histogram.unpacked(buckets, total) for stage, (total, buckets) in packed.items()}


def latency_of(rows: Iterable[RollupRow]) -> Histogram:
    """Add up how long the calls of some rows took that ended well."""
    found = (histograms_of(row).get(LATENCY) for row in rows)
    return Histogram.sum_of(each for each in found if each is not None)


class _Group:
    """The calls of one tool, provider and model."""

    def __init__(self) -> None:
        self.outcomes: dict[str, int] = {}
        self.stages: dict[str, Histogram] = {}
        self.requests = self.input = self.cached = self.output = self.without_price = self.emulated = 0
        self.cost_usd = 0.0

    def add(self, call: MeasuredCall) -> None:
        self.outcomes[call.outcome] = self.outcomes.get(call.outcome, 0) + 1
        self.requests += call.requests
        self.input += call.input_tokens
        self.cached += call.cached_tokens
        self.output += call.output_tokens
        self.cost_usd += call.cost_usd
        self.without_price += call.without_price
        self.emulated += bool(call.emulated)
        if call.outcome == OK:
            for stage, ms in zip(TIMINGS, call.timings, strict=True):
                if ms is not None:
                    self.stages.setdefault(stage, Histogram()).add(ms)

    def row(self, hour: datetime, tool: str, provider: str, model: str) -> RollupRow:
        stages = {stage: [round(each.total, 3), each.packed()] for stage, each in sorted(self.stages.items())}
        return RollupRow(
            hour,
            tool,
            provider,
            model,
            sum(self.outcomes.values()),
            msgspec.json.encode(dict(sorted(self.outcomes.items()))).decode(),
            self.requests,
            self.input,
            self.cached,
            self.output,
            round(self.cost_usd, 9),
            self.without_price,
            self.emulated,
            msgspec.json.encode(stages).decode(),
        )


def _add(groups: dict[Key, _Group], calls: Iterable[MeasuredCall]) -> None:
    for call in calls:
        groups.setdefault((call.tool, call.provider, call.model), _Group()).add(call)


def _begin_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
