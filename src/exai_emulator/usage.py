"""What an account used up within spans of time, by the emulated clock."""

from collections import deque

from exai_emulator.clock import china_midnight_after

__all__ = ["AccountUsage", "Day", "SlidingWindow", "Spell"]

MINUTE = 60.0
FIVE_HOURS = 5 * 3600.0
WEEK = 7 * 86_400.0


class SlidingWindow:
    """The sum of the last so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._entries: deque[tuple[float, int]] = deque()
        self._sum = 0

    def add(self, now: float, amount: int) -> None:
        """Count `amount` at `now`."""
        self._entries.append((now, amount))
        self._sum += amount

    def used(self, now: float) -> int:
        """What the window still holds."""
        while self._entries and self._entries[0][0] <= now - self._seconds:
            self._sum -= self._entries.popleft()[1]
        return self._sum


class Spell:
    """A window that opens with the first use after the last one closed, and lasts so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._used = 0
        self._ends_at = 0.0

    def add(self, now: float, amount: int) -> None:
        """Count `amount` at `now`."""
        if now >= self._ends_at:
            self._used, self._ends_at = 0, now + self._seconds
        self._used += amount

    def resets_at(self, now: float) -> float:
        """When the open window closes, or would close if it opened now."""
        return self._ends_at if now < self._ends_at else now + self._seconds

    def used(self, now: float) -> int:
        """What the open window holds; 0 when none is open."""
        return self._used if now < self._ends_at else 0


class Day:
    """The sum since midnight, UTC+8."""

    def __init__(self) -> None:
        self._used = 0
        self._ends_at = 0.0

    def add(self, now: float, amount: int) -> None:
        """Count `amount` at `now`."""
        if now >= self._ends_at:
            self._used, self._ends_at = 0, china_midnight_after(now)
        self._used += amount

    def used(self, now: float) -> int:
        """What the day has used."""
        return self._used if now < self._ends_at else 0


class AccountUsage:
    """All that the limits of any service are about."""

    def __init__(self) -> None:
        self.minute_calls = SlidingWindow(MINUTE)
        self.minute_tokens = SlidingWindow(MINUTE)
        self.minute_parses = SlidingWindow(MINUTE)
        self.day_calls = Day()
        self.day_tokens = Day()
        self.plan_window = Spell(FIVE_HOURS)
        self.plan_week = Spell(WEEK)

    def count(self, now: float, tokens: int, *, on_plan: bool) -> None:
        """Count one call that was let in."""
        self.minute_calls.add(now, 1)
        self.minute_tokens.add(now, tokens)
        self.day_calls.add(now, 1)
        self.day_tokens.add(now, tokens)
        if on_plan:
            self.plan_window.add(now, 1)
            self.plan_week.add(now, 1)

    def as_json(self, now: float) -> dict[str, int]:
        """The sums as the control port shows them."""
        return {
            "minute_calls": self.minute_calls.used(now),
            "minute_tokens": self.minute_tokens.used(now),
            "day_calls": self.day_calls.used(now),
            "day_tokens": self.day_tokens.used(now),
            "plan_window_calls": self.plan_window.used(now),
            "plan_week_calls": self.plan_week.used(now),
        }
