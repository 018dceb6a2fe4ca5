"""The time that accounts go by: the machine's, until somebody moves or stops it."""

import math
import time

__all__ = ["EmulatedClock", "china_midnight_after", "china_time"]

_CHINA = 8 * 3600
_DAY = 86_400


class EmulatedClock:
    """Unix seconds. Waiting is real: the clock decides about windows, resets and expiry only."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """As the machine's clock, running."""
        self._offset = 0.0
        self._stopped_at: float | None = None

    @property
    def runs(self) -> bool:
        """Whether time passes by itself."""
        return self._stopped_at is None

    def now(self) -> float:
        """The time of the emulated services."""
        return time.time() + self._offset if self._stopped_at is None else self._stopped_at

    def stop(self) -> None:
        """Let time stand still; `advance` and `set` still move it."""
        self._stopped_at = self.now()

    def run(self) -> None:
        """Let time go on from where it stands."""
        self.set(self.now())
        self._stopped_at = None

    def set(self, now: float) -> None:
        """Put the clock to `now`. Raises ValueError for a time that no date has."""
        if not math.isfinite(now) or not 0 <= now <= 32_503_680_000:
            raise ValueError("A time is Unix seconds between the years 1970 and 3000.")
        self._offset = now - time.time()
        if self._stopped_at is not None:
            self._stopped_at = now

    def advance(self, seconds: float) -> None:
        """Move the clock, also back."""
        self.set(self.now() + seconds)


def china_time(at: float) -> str:
    """A time as GLM writes it: UTC+8 without saying so."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at + _CHINA))


def china_midnight_after(at: float) -> float:
    """The next midnight of UTC+8."""
    return (math.floor((at + _CHINA) / _DAY) + 1) * _DAY - _CHINA
