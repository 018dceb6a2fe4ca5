"""Which stage makes the slow calls slow.

Stages add up to the latency, so what slow calls take longer than usual ones is the sum of what each stage takes
longer: of the calls from the 95th percentile on beside those between the 40th and the 60th.
"""

import math
import random
from collections.abc import Sequence

import msgspec

from exai.monitoring.statistics.quantiles import least_for, quantile_of

__all__ = ["LEAST_CALLS", "Attribution", "StageExcess", "attribute"]

TAIL = 0.95
BODY = (0.4, 0.6)
LEAST_CALLS = least_for(TAIL)
RESAMPLES = 200
Stages = Sequence[float]


class StageExcess(msgspec.Struct, frozen=True):
    """What a stage has to do with slow calls."""

    stage: str
    excess_ms: float
    """By how much it is longer in slow calls than in usual ones."""
    share: float
    """Of what all stages together are longer."""
    low: float
    high: float
    p95_without_ms: float
    """The 95th percentile if it took no time."""


class Attribution(msgspec.Struct, frozen=True):
    """Which stages explain the slow calls, the first the most."""

    calls: int
    p95_ms: float
    body_ms: float
    """Mean of the usual calls."""
    tail_ms: float
    """Mean of the slow ones."""
    stages: tuple[StageExcess, ...]


def attribute(
    calls: Sequence[Stages], names: Sequence[str], *, seed: int = 0, resamples: int = RESAMPLES
) -> Attribution | None:
    """Compare slow calls with usual ones; `None` where there are too few.

    Args:
        calls: of each its milliseconds by stage, in the order of `names`.
        names: of the stages.
        seed: of what intervals are drawn with.
        resamples: how often.
    """
    if len(calls) < LEAST_CALLS:
        return None
    ordered = sorted(((math.fsum(call), call) for call in calls), key=lambda pair: pair[0])
    totals, n = [total for total, _ in ordered], len(ordered)
    p95 = _p95(totals)
    tail = [call for total, call in ordered if total >= p95]
    body = [call for _, call in ordered[int(n * BODY[0]) : math.ceil(n * BODY[1])]]
    excess = _excess(tail, body)
    shares = _shares(excess)
    dice = random.Random(seed)  # noqa: S311 - drawn calls are no secret
    drawn = [
        _shares(_excess(dice.choices(tail, k=len(tail)), dice.choices(body, k=len(body))))
        for _ in range(resamples)
    ]
    found = [
        StageExcess(
            name,
            round(excess[place], 3),
            round(shares[place], 4),
            *_interval([share[place] for share in drawn]),
            round(_p95_without(ordered, place), 3),
        )
        for place, name in enumerate(names)
    ]
    found.sort(key=lambda each: -each.share)
    return Attribution(n, p95, _mean(body), _mean(tail), tuple(found))


def _excess(tail: Sequence[Stages], body: Sequence[Stages]) -> list[float]:
    return [
        sum(slow) / len(tail) - sum(usual) / len(body)
        for slow, usual in zip(zip(*tail, strict=True), zip(*body, strict=True), strict=True)
    ]


def _shares(excess: Sequence[float]) -> list[float]:
    whole = sum(each for each in excess if each > 0)
    return [max(0.0, each) / whole if whole else 0.0 for each in excess]


def _interval(drawn: list[float]) -> tuple[float, float]:
    drawn.sort()
    outside = int(0.025 * len(drawn))
    return round(drawn[outside], 4), round(drawn[-1 - outside], 4)


def _p95_without(ordered: Sequence[tuple[float, Stages]], place: int) -> float:
    return _p95(sorted(total - call[place] for total, call in ordered))


def _p95(ordered: Sequence[float]) -> float:
    return quantile_of(ordered, TAIL).value or 0.0


def _mean(calls: Sequence[Stages]) -> float:
    return round(math.fsum(map(math.fsum, calls)) / len(calls), 3)
