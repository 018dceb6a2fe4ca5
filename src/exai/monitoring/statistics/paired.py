"""Paired differences: what a typical pair differs by, and how sure that is.

The Hodges-Lehmann estimate is the median of the means of all pairs of differences (Walsh averages). Its interval is
the set of shifts that Wilcoxon's signed-rank test would not refuse, so estimate, interval and test agree.
"""

import math
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from statistics import NormalDist

import msgspec

__all__ = ["Difference", "hodges_lehmann", "least_visible", "signed_rank_p"]

LARGEST_EXACT = 50
"""Differences up to which the distribution of ranks is counted out; beyond, it is a normal one."""
POWER = 0.8
EFFICIENCY = 3 / math.pi
"""Of the signed-rank test beside a t test, for normal differences."""


class Difference(msgspec.Struct, frozen=True):
    """What pairs differ by."""

    value: float
    low: float | None
    """`None`, like `high`: there are too few pairs for an interval."""
    high: float | None
    p: float
    """How likely a difference like this, or a greater one, is where there is none."""
    n: int


def hodges_lehmann(differences: Sequence[float], confidence: float = 0.95) -> Difference:
    """Estimate what pairs differ by, with the interval of the signed-rank test.

    Args:
        differences: one per pair; at least one.
        confidence: of the interval.
    """
    n = len(differences)
    ordered = sorted(differences)
    averages = sorted((a + b) / 2 for place, a in enumerate(ordered) for b in ordered[place:])
    m = len(averages)
    value = (averages[(m - 1) // 2] + averages[m // 2]) / 2
    outside = _critical(n, (1 - confidence) / 2)
    low, high = (None, None) if outside is None else (averages[outside], averages[m - 1 - outside])
    return Difference(value, low, high, signed_rank_p(differences), n)


def signed_rank_p(differences: Sequence[float]) -> float:
    """Return the two-sided p value of Wilcoxon's signed-rank test; differences of 0 are left out."""
    values = sorted((d for d in differences if d), key=abs)
    n = len(values)
    if n == 0:
        return 1.0
    positive, ties, place = 0.0, 0, 0
    for _, same in groupby(values, key=abs):
        group = list(same)
        rank = place + (len(group) + 1) / 2
        positive += rank * sum(d > 0 for d in group)
        ties += len(group) ** 3 - len(group)
        place += len(group)
    least = min(positive, n * (n + 1) / 2 - positive)
    if n <= LARGEST_EXACT and not ties:
        counts = _rank_sums(n)
        return min(1.0, sum(counts[: int(least) + 1]) / float(2 ** (n - 1)))
    sd = math.sqrt(n * (n + 1) * (2 * n + 1) / 24 - ties / 48)
    z = (least - n * (n + 1) / 4) / sd
    return min(1.0, 2 * NormalDist().cdf(z))


def least_visible(
    differences: Sequence[float], *, confidence: float = 0.95, power: float = POWER
) -> float | None:
    """Return the difference that so many pairs of such a spread would have shown in four of five cases.

    `None` where there are too few to say.
    """
    n = len(differences)
    if n < 2:
        return None
    mean = math.fsum(differences) / n
    sd = math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (n - 1))
    normal = NormalDist()
    z = normal.inv_cdf(1 - (1 - confidence) / 2) + normal.inv_cdf(power)
    return z * sd / math.sqrt(n * EFFICIENCY)


def _critical(n: int, doubt: float) -> int | None:
    """Return how many averages on each side lie outside of the interval; `None`: even all are too few."""
    if n <= LARGEST_EXACT:
        allowed, below = doubt * 2**n, 0
        for place, count in enumerate(_rank_sums(n)):
            below += count
            if below > allowed:
                return place - 1 if place else None
        return None
    sd = math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    return max(0, math.floor(n * (n + 1) / 4 + NormalDist().inv_cdf(doubt) * sd))


@cache
def _rank_sums(n: int) -> tuple[int, ...]:
    """Count in how many of the 2^n ways to choose signs the ranks with a plus add up to each sum."""
    counts = [1]
    for rank in range(1, n + 1):
        longer = [0] * (len(counts) + rank)
        for total, ways in enumerate(counts):
            longer[total] += ways
            longer[total + rank] += ways
        counts = longer
    return tuple(counts)
