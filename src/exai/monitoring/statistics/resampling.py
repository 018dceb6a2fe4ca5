"""Intervals by resampling whole blocks, for figures whose distribution nobody knows, such as a ratio of percentiles."""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["RESAMPLES", "percentile_interval"]

T = TypeVar("T")
RESAMPLES = 1_000


def percentile_interval(
    blocks: Sequence[T],
    statistic: Callable[[Sequence[T]], float],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> tuple[float, float, float]:
    """Draw as many blocks as there are, again and again, and return where their statistic lies, and its p value.

    Args:
        blocks: what was measured together, so that what disturbed one member disturbed all.
        statistic: of some blocks; 0 is no difference.
        seed: the same gives the same interval.
        resamples: how often is drawn.
        confidence: of the interval.

    Returns:
        The ends of the interval, and twice the share of draws on the smaller side of 0.
    """
    dice = random.Random(seed)  # noqa: S311 - drawn blocks are no secret
    drawn = sorted(statistic(dice.choices(blocks, k=len(blocks))) for _ in range(resamples))
    outside = int((1 - confidence) / 2 * resamples)
    smaller = min(sum(value <= 0 for value in drawn), sum(value >= 0 for value in drawn))
    p = min(1.0, 2 * (smaller + 1) / (resamples + 1))
    return drawn[outside], drawn[resamples - 1 - outside], p
