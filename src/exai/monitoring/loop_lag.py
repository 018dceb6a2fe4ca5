"""How late the event loop is: the one figure that shows a blocked loop, whatever blocks it."""

import asyncio

from exai.runtime.clock import Clock

__all__ = ["LoopLag"]

INTERVAL_S = 0.1


class LoopLag:
    """Wakes ten times a second and notes how much later than asked it was."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.last_s = 0.0
        self.worst_s = 0.0
        """The worst since `take_worst` was called last."""

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = self._clock.monotonic() + INTERVAL_S
            await asyncio.sleep(INTERVAL_S)
            self.last_s = max(0.0, self._clock.monotonic() - due)
            self.worst_s = max(self.worst_s, self.last_s)

    def take_worst(self) -> float:
        """The worst lag since the last call, in seconds."""
        worst, self.worst_s = self.worst_s, self.last_s
        return worst
