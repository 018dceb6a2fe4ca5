"""What was spent since midnight UTC: read from the journal at times, and added to as calls of this process end."""

from datetime import datetime

from exai.errors import ExaiError
from exai.events.events import CallEnded
from exai.monitoring.recent.activity import RecentActivity
from exai.runtime.clock import Clock
from exai.storage.dashboard.sums import DashboardSums, Spend

__all__ = ["SpendOfToday"]

EVERY_S = 600.0
"""How often the journal is read, for what other processes spend."""
AFTER_FAILURE_S = 60.0


class SpendOfToday:
    """Knows about what this day cost."""

    def __init__(self, sums: DashboardSums, activity: RecentActivity, clock: Clock) -> None:
        self._sums = sums
        self._activity = activity
        self._clock = clock
        self._day: datetime | None = None
        self._read: Spend | None = None
        self._due = 0.0
        self._added = [0.0, 0.0, 0]
        activity.on_end(self._note)

    async def now(self) -> tuple[datetime, Spend | None]:
        """Return since when, and what; `None` where the journal could not be read."""
        self._activity.fold()
        midnight = self._clock.utc().replace(hour=0, minute=0, second=0, microsecond=0)
        if midnight != self._day or self._clock.monotonic() >= self._due:
            await self._refresh(midnight)
        if self._read is None:
            return midnight, None
        usd, emulated, unpriced = self._added
        return midnight, Spend(
            self._read.usd + usd, self._read.emulated_usd + emulated, self._read.without_price + int(unpriced)
        )

    async def _refresh(self, midnight: datetime) -> None:
        if midnight != self._day:
            self._day, self._read = midnight, None
        self._due = self._clock.monotonic() + AFTER_FAILURE_S
        self._added = [0.0, 0.0, 0]
        try:
            self._read = await self._sums.spent(midnight)
        except ExaiError:
            self._read = None
            return
        self._due = self._clock.monotonic() + EVERY_S

    def _note(self, event: CallEnded) -> None:
        for request in event.requests:
            self._added[1 if request.emulated else 0] += request.cost_usd or 0.0
            self._added[2] += request.without_price
