"""Sends at moments that were chosen before, whatever the answers do: who waits for one answer measures no other.

A latency counts from the moment that was meant, so that what a slow answer holds up is not left out.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

__all__ = ["Punctuality", "arrivals", "send_at"]

LATE_S = 0.01
MOST_LATE = 0.01
MOST_BUSY = 0.9


class Punctuality(msgspec.Struct):
    """Whether the sender kept to its plan; one that did not has measured itself."""

    sent: int = 0
    late: int = 0
    """Begun more than 10 ms after its moment."""
    busy_s: float = 0.0
    whole_s: float = 0.0

    @property
    def reason_against(self) -> str | None:
        """Say why nothing that was measured counts; `None`: it does."""
        if self.sent and self.late / self.sent > MOST_LATE:
            return (
                f"{self.late} of {self.sent} calls were sent more than 10 ms late (1 % may be): this machine is too "
                "busy to measure from. Run it elsewhere, or with less at once."
            )
        if self.whole_s and self.busy_s / self.whole_s > MOST_BUSY:
            return "The sender used all of its core: run it elsewhere, or with less at once."
        return None

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Count how busy this process is within the scope."""
        busy, whole = time.process_time(), time.monotonic()
        try:
            yield
        finally:
            self.busy_s += time.process_time() - busy
            self.whole_s += time.monotonic() - whole


def arrivals(rate_per_s: float, lasts_s: float, expovariate: Callable[[float], float]) -> list[float]:
    """Draw the moments of a Poisson process, in seconds from its begin."""
    moments: list[float] = []
    at = expovariate(rate_per_s)
    while at < lasts_s:
        moments.append(at)
        at += expovariate(rate_per_s)
    return moments


async def send_at(
    moments: Sequence[float], send: Callable[[int, float], Awaitable[object]], punctuality: Punctuality
) -> None:
    """Begin a call at each moment, and wait for the last to end.

    Args:
        moments: seconds from now, in order.
        send: gets the place of a moment, and the moment by the loop's clock.
        punctuality: takes account of it.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    with punctuality.measured():
        async with asyncio.TaskGroup() as sending:
            for place, at in enumerate(moments):
                await asyncio.sleep(began + at - loop.time())
                punctuality.sent += 1
                punctuality.late += loop.time() - began - at > LATE_S
                sending.create_task(_awaited(send(place, began + at)))


async def _awaited(sending: Awaitable[object]) -> None:
    await sending
