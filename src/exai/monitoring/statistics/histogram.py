"""Histograms that add up: buckets grow by 1 %, so a percentile read from one is right within 0.5 %.

Of any number of hours, processes or models the sum is exact, as it would be of the values themselves.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Self

__all__ = ["GROWTH", "Histogram"]

GROWTH = 1.01
_LOG = math.log(GROWTH)
LEAST = 0.001
"""Below, a value is nothing: a thousandth of a millisecond."""
NOTHING = -1


class Histogram:
    """Counts of values by buckets, and their sum."""

    def __init__(self, buckets: Mapping[int, int] | None = None, total: float = 0.0) -> None:
        self._buckets = dict(buckets or {})
        self.total = total
        """The sum of the values."""

    @property
    def count(self) -> int:
        """How many values there are."""
        return sum(self._buckets.values())

    def add(self, value: float) -> None:
        """Count a value, which is not below 0."""
        place = NOTHING if value < LEAST else int(math.log(value / LEAST) / _LOG)
        self._buckets[place] = self._buckets.get(place, 0) + 1
        self.total += value

    @classmethod
    def sum_of(cls, histograms: Iterable["Histogram"]) -> Self:
        """Add up histograms."""
        made = cls()
        for each in histograms:
            made.total += each.total
            for place, count in each.packed():
                made._buckets[place] = made._buckets.get(place, 0) + count
        return made

    def quantile(self, share: float) -> float | None:
        """Read a quantile, by nearest rank; `None` where there is nothing."""
        rank, seen = max(1, math.ceil(self.count * share - 1e-9)), 0
        for place, count in sorted(self._buckets.items()):
            seen += count
            if seen >= rank:
                return 0.0 if place == NOTHING else LEAST * GROWTH ** (place + 0.5)
        return None

    def packed(self) -> list[list[int]]:
        """Return the buckets as they are stored: places in order, each with its count."""
        return [[place, count] for place, count in sorted(self._buckets.items())]

    @classmethod
    def unpacked(cls, buckets: Iterable[tuple[int, int]], total: float) -> Self:
        """Make one of what was stored."""
        return cls(dict(buckets), total)
