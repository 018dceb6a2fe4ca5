"""Quantiles with exact intervals, which are ranks of a binomial distribution and assume nothing of the values."""

import math
from collections.abc import Sequence

import msgspec

__all__ = ["CONFIDENCE", "Quantile", "binomial_ranks", "least_for", "quantile_of"]

CONFIDENCE = 0.95
TAIL_SDS = 14
"""Standard deviations beyond which a binomial probability is smaller than a double can add to 1."""


class Quantile(msgspec.Struct, frozen=True):
    """A quantile of some values, and the interval that holds the true one in 95 of 100 cases."""

    share: float
    value: float | None
    """`None`: infinite, as the time to an answer that never came."""
    low: float | None
    """`None`: there are too few values to say how low it may be."""
    high: float | None
    """`None`: the same for how high; the largest value is no bound."""
    n: int


def quantile_of(ordered: Sequence[float], share: float, confidence: float = CONFIDENCE) -> Quantile:
    """Return a quantile of values that are in order, by nearest rank, with its interval.

    Args:
        ordered: from the smallest on; at least one. Failures may be infinite.
        share: 0.95 for the 95th percentile.
        confidence: of the interval.
    """
    n = len(ordered)
    low, high = binomial_ranks(n, share, confidence)
    at = min(n - 1, max(0, math.ceil(n * share - 1e-9) - 1))
    least, most = (None if place is None else _finite(ordered[place]) for place in (low, high))
    return Quantile(share, _finite(ordered[at]), least, most, n)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def binomial_ranks(n: int, share: float, confidence: float = CONFIDENCE) -> tuple[int | None, int | None]:
    """Return the places, from 0, of the values between which the true quantile lies.

    They are those of `scipy.stats.quantile_test`: below the lower lie fewer of n values than chance would
    leave there in half of what the confidence allows to be wrong, and so above the higher.
    """
    doubt = (1 - confidence) / 2
    sd = math.sqrt(n * share * (1 - share))
    k = max(0, math.floor(n * share - TAIL_SDS * (sd + 1)))
    probability = math.exp(
        math.lgamma(n + 1)
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(share)
        + (n - k) * math.log1p(-share)
    )
    odds = share / (1 - share)
    below, first, last = probability, None, None
    while last is None and k <= n:
        if first is None and below >= doubt:
            first = k
        if below >= 1 - doubt:
            last = k
        probability *= (n - k) / (k + 1) * odds
        below += probability
        k += 1
    low = None if first is None or first == 0 else first - 1
    high = None if last is None or last >= n else last
    return low, high


def least_for(share: float, confidence: float = CONFIDENCE) -> int:
    """Return from how many values on a quantile has both ends of an interval: 6, 72 and 368 for p50, p95, p99."""
    n = 1
    while None in binomial_ranks(n, share, confidence):
        n += 1
    return n
