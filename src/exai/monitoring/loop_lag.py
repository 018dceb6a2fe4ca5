"""Measures how late the event loop runs its timers, which shows that something blocks it, whatever it is."""

from collections.abc import Callable
from dataclasses import dataclass

from exai.runtime.clock import Clock
from exai.runtime.core_wait import core_wait_s
from exai.runtime.samples import Sample

__all__ = ["INTERVAL_S", "Hold", "LoopLag"]

INTERVAL_S = 0.1
HELD_S = 5.0
"""From which lag on the loop was held: calls, sockets and timers stood still."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A lag of at least `HELD_S`."""

    seconds: float
    seconds_ago: float


class _Follower:
    """One reader of the worst lag."""

    def __init__(self) -> None:
        self.worst_s = 0.0

    def take(self) -> float:
        """Return the worst since the last call."""
        worst, self.worst_s = self.worst_s, 0.0
        return worst


class LoopLag:
    """Measures by how much ticks that are due every `INTERVAL_S` come late."""

    def __init__(self, clock: Clock, waited_s: Callable[[], float] = core_wait_s) -> None:
        """`waited_s` returns for how long the loop's thread has waited for a core so far."""
        self._clock = clock
        self._waited_s = waited_s
        self._last_tick: tuple[float, float] | None = None
        self.last_s = 0.0
        self.worst_s = 0.0
        """The worst since `take_worst` was called last."""
        self.worst_blocked_s = 0.0
        """The worst since the last scrape, without what was waiting for a core."""
        self._followers: list[_Follower] = []
        self._held: tuple[float, float] | None = None
        """The latest lag of at least `HELD_S`, and when it was over."""

    async def tick(self) -> None:
        """Note by how much more than `INTERVAL_S` this comes after the tick before."""
        now, waited = self._clock.monotonic(), self._waited_s()
        if self._last_tick is not None:
            last_tick, waited_before = self._last_tick
            self.last_s = max(0.0, now - last_tick - INTERVAL_S)
            self.worst_s = max(self.worst_s, self.last_s)
            for follower in self._followers:
                follower.worst_s = max(follower.worst_s, self.last_s)
            self.worst_blocked_s = max(self.worst_blocked_s, self.last_s - (waited - waited_before))
            if self.last_s >= HELD_S:
                self._held = (self.last_s, now)
        self._last_tick = now, waited

    def samples(self) -> list[Sample]:
        """Return the metrics; reading them begins a new worst."""
        lag = "Worst lag of the event loop since the last scrape."
        blocked = "The same without the time for which its thread waited for a core."
        blocked_s, self.worst_blocked_s = self.worst_blocked_s, 0.0
        return [
            Sample("loop_lag_seconds", lag, self.take_worst()),
            Sample("loop_blocked_seconds", blocked, blocked_s),
        ]

    def follow(self) -> Callable[[], float]:
        """Return a reader of its own, which returns the worst lag since it was called last, in seconds."""
        follower = _Follower()
        self._followers.append(follower)
        return follower.take

    def latest_hold(self) -> Hold | None:
        """Return when the loop was held last; `None`: it never was."""
        if self._held is None:
            return None
        seconds, ended = self._held
        return Hold(seconds, self._clock.monotonic() - ended)

    def take_worst(self) -> float:
        """Return the worst lag since the last call, in seconds."""
        worst, self.worst_s = self.worst_s, self.last_s
        return worst
