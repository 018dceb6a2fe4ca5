"""Makes the report of a baseline from the journal's rows."""

import math
from array import array
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from exai.monitoring.baselines.advice import Circumstances, Limits, advise
from exai.monitoring.baselines.attribution import attribute
from exai.monitoring.baselines.coverage import Coverage
from exai.monitoring.baselines.report import (
    SHARES,
    BaselineReport,
    Bottleneck,
    Hour,
    Spread,
    Subject,
    remarks_on,
)
from exai.monitoring.statistics.quantiles import Quantile, quantile_of
from exai.monitoring.statistics.shares import share_of
from exai.storage.baselines.calls import MeasuredCall
from exai.storage.baselines.runs import BaselineRow
from exai.storage.error_tracking.sample_table import SampledLoad, SampleRow
from exai.storage.schema import TIMINGS

__all__ = ["Measuring"]

STAGES = TIMINGS[:-1]
OK = "ok"
THROTTLED = "provider_throttled"
MOST_HOURS = 168
HOLDS_PERMIT = ("connect_ms", "first_token_ms", "generation_ms")


class _Calls:
    """The calls of a subject, as they are added."""

    def __init__(self) -> None:
        self.calls = self.without_price = self.throttled = self.emulated = 0
        self.cost_usd = 0.0
        self.failures: dict[str, int] = {}
        self.stages = {name: array("d") for name in STAGES}
        self.latency, self.speeds = array("d"), array("d")
        self.minutes: dict[int, int] = {}

    def add(self, call: MeasuredCall) -> None:
        self.calls += 1
        self.cost_usd += call.cost_usd
        self.without_price += call.without_price
        self.emulated += bool(call.emulated)
        minute = int(call.began_at.timestamp() // 60)
        self.minutes[minute] = self.minutes.get(minute, 0) + 1
        failed_ms = call.timings[STAGES.index("failed_requests_ms")] or 0.0
        self.throttled += call.error_code == THROTTLED or failed_ms > 0
        if call.outcome != OK or call.latency_ms is None:
            name = call.error_code or call.outcome
            self.failures[name] = self.failures.get(name, 0) + 1
            return
        self.latency.append(call.latency_ms)
        for name, ms in zip(STAGES, call.timings, strict=False):
            self.stages[name].append(ms or 0.0)
        generation = call.timings[STAGES.index("generation_ms")]
        if generation and call.output_tokens:
            self.speeds.append(call.output_tokens / generation * 1_000)

    def subject(self, kind: str, name: str) -> Subject:
        failed = sum(self.failures.values())
        never = [math.inf] * failed
        return Subject(
            kind,
            name,
            self.calls,
            share_of(failed, self.calls),
            dict(sorted(self.failures.items())),
            _spread(self.latency),
            _spread([*self.latency, *never]),
            {stage: spread for stage in STAGES if (spread := _spread(self.stages[stage])) and spread.longest},
            _spread(self.speeds),
            round(self.cost_usd, 6),
            self.without_price,
            self.emulated,
        )

    def rows(self) -> list[tuple[float, ...]]:
        """Return the stages of each call that ended well."""
        return list(zip(*(self.stages[name] for name in STAGES), strict=True))

    def circumstances(self, provider: str, model: str) -> Circumstances:
        ended = len(self.latency) or 1
        holding_ms = sum(sum(self.stages[name]) for name in HOLDS_PERMIT) / ended
        peak = max(self.minutes.values(), default=0) / 60
        return Circumstances(provider, model, peak, holding_ms / 1_000, self.throttled / (self.calls or 1))


class Measuring:
    """Takes the calls of a baseline, and reports on them."""

    def __init__(self, row: BaselineRow, until: datetime) -> None:
        self._row = row
        self._until = until
        self._by: dict[tuple[str, str], _Calls] = {}
        self._providers: dict[str, str] = {}
        self._total = self._emulated = 0
        whole = (until - row.began_at) / timedelta(hours=1)
        parts = max(1, min(MOST_HOURS, math.ceil(whole)))
        self._length = (until - row.began_at) / parts or timedelta(seconds=1)
        self._hours: list[tuple[array[float], list[int]]] = [(array("d"), [0, 0]) for _ in range(parts)]

    def add(self, calls: Sequence[MeasuredCall]) -> None:
        """Take some calls, in any order."""
        for call in calls:
            self._total += 1
            self._emulated += bool(call.emulated)
            model = f"{call.provider}/{call.model}" if call.provider else ""
            self._providers[model] = call.provider
            for key in (("provider", call.provider), ("model", model), ("tool", call.tool)):
                if key[1]:
                    self._by.setdefault(key, _Calls()).add(call)
            place = int((call.began_at - self._row.began_at) / self._length)
            latencies, counts = self._hours[min(place, len(self._hours) - 1)]
            counts[0] += 1
            if call.outcome == OK and call.latency_ms is not None:
                latencies.append(call.latency_ms)
            else:
                counts[1] += 1

    def report(
        self,
        coverage: Coverage,
        limits: Limits,
        load: Sequence[SampledLoad],
        worst_lag: Sequence[SampleRow],
        still_open: int,
    ) -> BaselineReport:
        """Report on what was taken.

        Args:
            coverage: of the period.
            limits: as they are set.
            load: samples of the period.
            worst_lag: the minutes in which the event loop was late most.
            still_open: calls that have no end yet.
        """
        subjects = [each.subject(*key) for key, each in sorted(self._by.items())]
        remarks = remarks_on(self._row, coverage, subjects, self._total, self._emulated)
        return BaselineReport(
            self._row,
            self._until,
            coverage,
            self._total,
            still_open,
            self._emulated,
            tuple(remarks),
            tuple(subjects),
            tuple(self._bottlenecks(limits, load, worst_lag)),
            tuple(self._by_hour()),
        )

    def _bottlenecks(
        self, limits: Limits, load: Sequence[SampledLoad], worst_lag: Sequence[SampleRow]
    ) -> Iterator[Bottleneck]:
        minutes = max(1.0, (self._until - self._row.began_at).total_seconds() / 60)
        full = {each.name.removeprefix("in use: "): min(1.0, each.full_minutes / minutes) for each in load}
        lag = ", ".join(f"{each.minute:%Y-%m-%d %H:%M} UTC {each.max:.0f} ms" for each in worst_lag)
        for (kind, name), calls in sorted(self._by.items()):
            if kind != "model" or (found := attribute(calls.rows(), STAGES)) is None:
                continue
            provider, model = self._providers[name], name.partition("/")[2]
            about = calls.circumstances(provider, model)
            at = Circumstances(
                provider,
                model,
                about.peak_per_s,
                about.holding_s,
                about.throttled,
                full.get("all calls", 0.0),
                full.get(provider, 0.0),
                full.get(name, 0.0),
                lag,
            )
            yield Bottleneck(name, found, advise(found, at, limits))

    def _by_hour(self) -> Iterator[Hour]:
        for place, (latencies, (calls, failed)) in enumerate(self._hours):
            quantiles = _quantiles(latencies)
            began = self._row.began_at + place * self._length
            yield Hour(
                began,
                calls,
                failed,
                quantiles[0].value if quantiles else None,
                quantiles[2].value if quantiles else None,
            )


def _spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    longest = max(values)
    if not math.isfinite(longest):
        return Spread(None, _quantiles(values), None)
    return Spread(math.fsum(values) / len(values), _quantiles(values), longest)


def _quantiles(values: Sequence[float]) -> tuple[Quantile, ...]:
    ordered = sorted(values)
    return tuple(quantile_of(ordered, share) for share in SHARES) if ordered else ()
