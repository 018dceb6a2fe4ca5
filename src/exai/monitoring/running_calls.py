"""The calls that run now, from the events on the bus: who asked, for which tool, since when. No content."""

from collections.abc import Iterator
from dataclasses import dataclass

from exai.callers import Caller
from exai.events.bus import EventBus
from exai.events.events import CallEnded, CallStarted
from exai.runtime.clock import Clock

__all__ = ["RunningCall", "RunningCalls"]


@dataclass(frozen=True, slots=True)
class RunningCall:
    """A call that has begun and not ended."""

    call_id: str
    tool: str
    caller: Caller
    seconds: float


class RunningCalls:
    """Keeps each call from `CallStarted` to `CallEnded`; admission bounds how many there are."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began: dict[str, tuple[CallStarted, float]] = {}

    def watch(self, bus: EventBus) -> None:
        """Follow calls from now on."""
        bus.watch(self._started, CallStarted)
        bus.watch(self._ended, CallEnded)

    def _started(self, event: CallStarted) -> None:
        self._began[event.call_id] = (event, self._clock.monotonic())

    def _ended(self, event: CallEnded) -> None:
        self._began.pop(event.call_id, None)

    def find(self, call_id: str) -> RunningCall | None:
        """Return a call; `None` when it does not run."""
        if (found := self._began.get(call_id)) is None:
            return None
        event, began = found
        return RunningCall(event.call_id, event.tool, event.caller, self._clock.monotonic() - began)

    def __contains__(self, call_id: object) -> bool:
        return call_id in self._began

    def __len__(self) -> int:
        return len(self._began)

    def __iter__(self) -> Iterator[RunningCall]:
        """Iterate over the calls, the oldest first."""
        now = self._clock.monotonic()
        for event, began in self._began.values():
            yield RunningCall(event.call_id, event.tool, event.caller, now - began)
