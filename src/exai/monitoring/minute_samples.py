"""How busy the process is: read once a second, kept by the minute."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from exai.runtime.clock import Clock
from exai.storage.error_tracking.sample_table import SampleRow

__all__ = ["MinuteSamples", "Reading"]


class Reading(msgspec.Struct, frozen=True):
    """One value of a moment, such as how many permits of a gate are in use."""

    name: str
    value: float
    limit: float | None = None
    """From which on it is full; `None`: it has no limit."""
    urgent: bool = False
    """Whether the minute is kept at once as far as it is known, for who asks why something failed just now."""


class _Sums:
    __slots__ = ("count", "full", "highest", "total")

    def __init__(self) -> None:
        self.count = self.full = 0
        self.total = self.highest = 0.0

    def add(self, reading: Reading) -> None:
        self.total += reading.value
        self.highest = reading.value if not self.count else max(self.highest, reading.value)
        self.count += 1
        self.full += reading.limit is not None and reading.value >= reading.limit


class MinuteSamples:
    """Adds readings up by the minute."""

    def __init__(
        self,
        clock: Clock,
        read: Callable[[], Iterable[Reading]],
        keep: Callable[[list[SampleRow]], None],
        remember: Callable[[float, Sequence[Reading]], None],
    ) -> None:
        """`read` returns the readings of a moment, `keep` takes what a minute had, `remember` what a second had."""
        self._clock = clock
        self._read = read
        self._keep = keep
        self._remember = remember
        self._minute: int | None = None
        self._sums: dict[str, _Sums] = {}

    async def tick(self) -> None:
        """Read the values of this second."""
        wall, readings = self._clock.wall(), list(self._read())
        self._remember(wall, readings)
        minute = int(wall // 60)
        if minute != self._minute:
            self.flush()
            self._minute = minute
        for reading in readings:
            self._sums.setdefault(reading.name, _Sums()).add(reading)
        if any(reading.urgent for reading in readings):
            self._keep_minute()

    def flush(self) -> None:
        """Have what the minute has so far kept, and forget it."""
        self._keep_minute()
        self._sums = {}

    def _keep_minute(self) -> None:
        if self._minute is not None and self._sums:
            minute = datetime.fromtimestamp(self._minute * 60, UTC)
            self._keep(
                [
                    SampleRow(minute, name, sums.total / sums.count, sums.highest, sums.full / sums.count)
                    for name, sums in self._sums.items()
                ]
            )
