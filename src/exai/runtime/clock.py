"""Clocks: monotonic time for durations, wall time for dates.

Durations, deadlines and time-outs use `monotonic` alone, so a clock that is set
back or forward moves none of them. `wall` and `utc` are for what people and tokens read.
"""

import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "ManualClock", "ScaledClock", "SystemClock"]


class Clock(Protocol):
    """Where time comes from."""

    def monotonic(self) -> float:
        """Seconds that only ever grow; the zero means nothing."""
        ...

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        ...

    def utc(self) -> datetime:
        """Return the moment of `wall`, with its zone."""
        return datetime.fromtimestamp(self.wall(), UTC)


class SystemClock(Clock):
    """The machine's own clocks; read a few dozen times per call, so without a frame between."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


class ScaledClock(Clock):
    """A clock whose dates run faster than the machine's from a moment on; durations stay what they are.

    Processes that know speed and moment agree on the date.
    """

    monotonic = staticmethod(time.monotonic)

    def __init__(self, speed: float, since: float) -> None:
        """`since` is when it began, in seconds since 1970 UTC: then it agreed with the machine's."""
        self.speed = speed
        self._since = since

    def wall(self) -> float:
        return self._since + (time.time() - self._since) * self.speed


class ManualClock(Clock):
    """A clock that a test moves: the twin of `SystemClock`."""

    def __init__(self, wall: float = 1_700_000_000.0) -> None:
        self._monotonic = 0.0
        self._wall = wall

    def monotonic(self) -> float:
        return self._monotonic

    def wall(self) -> float:
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass, for durations and dates."""
        self._monotonic += seconds
        self._wall += seconds
