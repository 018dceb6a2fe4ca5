"""What happened between EXAI and its providers lately: breakers, retries, models that took over."""

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime

from exai.events.bus import EventBus
from exai.events.events import BreakerClosed, BreakerOpened, Event, FellBack, RetryPlanned, RetryRefused
from exai.runtime.clock import Clock

__all__ = ["MOST_EVENTS", "RecentProviderEvents"]

MOST_EVENTS = 2_000


class RecentProviderEvents:
    """Holds the latest of these events."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._events: deque[tuple[float, Event]] = deque(maxlen=MOST_EVENTS)

    def watch(self, bus: EventBus) -> None:
        """Hold the events of a bus from now on."""
        for kind in (BreakerClosed, BreakerOpened, FellBack, RetryPlanned, RetryRefused):
            bus.watch(self._add, kind)

    def _add(self, event: Event) -> None:
        self._events.append((self._clock.wall(), event))

    def around(self, at: float, seconds: float, most: int = 60) -> Sequence[str]:
        """Return a line for each event within so many seconds of a moment, oldest first; of more, the nearest."""
        near = sorted(
            (abs(when - at), place)
            for place, (when, _) in enumerate(self._events)
            if abs(when - at) <= seconds
        )[:most]
        events = list(self._events)
        return [_line(*events[place]) for place in sorted(place for _, place in near)]


def _line(at: float, event: Event) -> str:
    moment = datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
    match event:
        case BreakerOpened():
            again = ", again" if event.again else ""
            told = f"breaker of {event.provider}/{event.model} opened{again}: {event.cause}, for {event.seconds:.0f} s"
        case BreakerClosed():
            told = f"breaker of {event.provider}/{event.model} closed after {event.open_s:.0f} s"
        case RetryPlanned():
            told = f"retry of {event.provider}/{event.model} in {event.wait_s:.1f} s: {event.cause}"
        case RetryRefused():
            told = f"no retry of {event.provider}/{event.model} ({event.reason}): {event.cause}"
        case FellBack():
            told = (
                f"{event.to_provider}/{event.to_model} took over from {event.from_provider}/{event.from_model}: "
                f"{event.cause}"
            )
        case _:
            told = type(event).__name__
    return f"{moment} {told}"
