"""Compares two baselines by what is kept of them.

The interval of a ratio comes from the intervals of both sides (Zou and Donner's square-and-add), on logarithms, so
the calls themselves are not needed. All ratios together are one family of tests.
"""

import math
from collections.abc import Iterator, Mapping
from statistics import NormalDist
from types import MappingProxyType
from typing import Literal

import msgspec

from exai.monitoring.baselines.report import BaselineReport, Spread, Subject
from exai.monitoring.statistics.discoveries import benjamini_hochberg
from exai.monitoring.statistics.quantiles import Quantile

__all__ = ["Change", "Verdict", "compare"]

TOLERATED: Mapping[float, float] = MappingProxyType({0.5: 0.10, 0.95: 0.20})
"""How much longer something may take without being worse, by percentile."""
DOUBT = 0.05
Z = NormalDist().inv_cdf(0.975)

Verdict = Literal["worse", "better", "same", "not enough"]


class Change(msgspec.Struct, frozen=True):
    """How a percentile changed."""

    kind: str
    name: str
    share: float
    before_ms: float | None
    after_ms: float | None
    ratio: float | None
    low: float | None
    high: float | None
    p: float | None
    """Adjusted for all of them together."""
    verdict: Verdict


def compare(before: BaselineReport, after: BaselineReport) -> list[Change]:
    """Compare the times of models and tools that both have."""
    pairs = list(_pairs(before, after))
    tested = [found for *_, found in pairs if found is not None]
    adjusted = iter(benjamini_hochberg([p for *_, p in tested]))
    return [
        _change(subject, earlier, later, found, None if found is None else next(adjusted))
        for subject, earlier, later, found in pairs
    ]


_Found = tuple[float, float, float, float]
"""Ratio, its interval, and a p value."""


def _pairs(
    before: BaselineReport, after: BaselineReport
) -> Iterator[tuple[Subject, Quantile | None, Quantile | None, _Found | None]]:
    earlier = {(each.kind, each.name): each for each in before.subjects}
    for later in after.subjects:
        if later.kind == "provider" or (subject := earlier.get((later.kind, later.name))) is None:
            continue
        for share in TOLERATED:
            old, new = _quantile(subject.latency, share), _quantile(later.latency, share)
            yield later, old, new, _ratio(old, new)


def _quantile(spread: Spread | None, share: float) -> Quantile | None:
    found = () if spread is None else spread.quantiles
    return next((each for each in found if each.share == share), None)


def _ratio(before: Quantile | None, after: Quantile | None) -> _Found | None:
    if before is None or after is None or not before.value or not after.value:
        return None
    if before.low is None or before.high is None or after.low is None or after.high is None:
        return None
    if not before.low or not after.low:
        return None
    a, a_low, a_high = (math.log(value) for value in (before.value, before.low, before.high))
    b, b_low, b_high = (math.log(value) for value in (after.value, after.low, after.high))
    change = b - a
    down, up = math.hypot(b - b_low, a_high - a), math.hypot(b_high - b, a - a_low)
    sd = (down if change > 0 else up) / Z
    p = 2 * (1 - NormalDist().cdf(abs(change) / sd)) if sd else float(change == 0)
    return math.exp(change), math.exp(change - down), math.exp(change + up), p


def _change(
    subject: Subject, before: Quantile | None, after: Quantile | None, found: _Found | None, p: float | None
) -> Change:
    share = (before or after or Quantile(0.5, 0, None, None, 0)).share
    old, new = (None if each is None else each.value for each in (before, after))
    if found is None or p is None:
        return Change(subject.kind, subject.name, share, old, new, None, None, None, None, "not enough")
    ratio, low, high, _ = found
    tolerated = TOLERATED[share]
    verdict: Verdict = "same"
    if p < DOUBT and low > 1 and ratio > 1 + tolerated:
        verdict = "worse"
    elif p < DOUBT and high < 1 and ratio < 1 / (1 + tolerated):
        verdict = "better"
    return Change(subject.kind, subject.name, share, old, new, ratio, low, high, p, verdict)
