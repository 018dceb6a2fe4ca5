"""The readings of the last hour, second by second."""

from array import array
from collections.abc import Iterable

import msgspec

from exai.monitoring.minute_samples import Reading

__all__ = ["MOST_SERIES", "RecentSeconds", "Stretch"]

MOST_SERIES = 40
SECONDS = 3_600
_NONE = float("nan")


class Stretch(msgspec.Struct, frozen=True):
    """What a reading was around a moment."""

    name: str
    at: float
    """In the second of the moment, or the last one before it."""
    mean: float
    highest: float


class RecentSeconds:
    """Holds up to 40 readings of 3,600 seconds in single precision, half a megabyte."""

    def __init__(self) -> None:
        self._series: dict[str, array[float]] = {}
        self._second = 0

    def add(self, wall: float, readings: Iterable[Reading]) -> None:
        """Hold the readings of a moment; those of names beyond the fortieth are left out."""
        second = int(wall)
        for skipped in range(max(self._second + 1, second - SECONDS + 1), second + 1):
            for series in self._series.values():
                series[skipped % SECONDS] = _NONE
        self._second = max(self._second, second)
        for reading in readings:
            known = self._series.get(reading.name)
            if known is None:
                if len(self._series) >= MOST_SERIES:
                    continue
                known = self._series[reading.name] = array("f", [_NONE]) * SECONDS
            known[second % SECONDS] = reading.value

    @property
    def names(self) -> list[str]:
        """What is held."""
        return sorted(self._series)

    def points(self, name: str, since: float) -> list[tuple[int, float]]:
        """Return what a reading was in each second since a moment, the oldest first."""
        series = self._series.get(name)
        if series is None:
            return []
        seconds = range(max(int(since), self._second - SECONDS + 1), self._second + 1)
        found = ((second, series[second % SECONDS]) for second in seconds)
        return [(second, value) for second, value in found if value == value]  # noqa: PLR0124 - NaN is none

    def around(self, wall: float, seconds: int) -> list[Stretch]:
        """Return what each reading was within so many seconds of a moment, by name; nothing of one outside the hour."""
        moment = int(wall)
        first = max(moment - seconds, self._second - SECONDS + 1)
        last = min(moment + seconds, self._second)
        found = []
        for name, series in sorted(self._series.items()):
            values = [series[each % SECONDS] for each in range(first, last + 1)]
            before = [series[each % SECONDS] for each in range(first, min(moment, last) + 1)]
            known, earlier = ([each for each in some if each == each] for some in (values, before))  # noqa: PLR0124 - NaN is none
            if known:
                at = earlier[-1] if earlier else known[0]
                found.append(Stretch(name, at, sum(known) / len(known), max(known)))
        return found
