"""Measures how late the event loop runs its timers, which shows that something blocks it, whatever it is."""

from exai.runtime.clock import Clock
from exai.runtime.samples import Sample

__all__ = ["INTERVAL_S", "LoopLag"]

INTERVAL_S = 0.1


class LoopLag:
    """Measures by how much ticks that are due every `INTERVAL_S` come late."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_tick: float | None = None
        self.last_s = 0.0
        self.worst_s = 0.0
        """The worst since `take_worst` was called last."""

    async def tick(self) -> None:
        """Note by how much more than `INTERVAL_S` this comes after the tick before."""
        now = self._clock.monotonic()
        if self._last_tick is not None:
            self.last_s = max(0.0, now - self._last_tick - INTERVAL_S)
            self.worst_s = max(self.worst_s, self.last_s)
        self._last_tick = now

    def samples(self) -> list[Sample]:
        """Return the metrics; reading them begins a new worst."""
        help_text = "Worst lag of the event loop since the last scrape."
        return [Sample("loop_lag_seconds", help_text, self.take_worst())]

    def take_worst(self) -> float:
        """Return the worst lag since the last call, in seconds."""
        worst, self.worst_s = self.worst_s, self.last_s
        return worst
