"""Who is connected now, from the events on the bus: how many connections of which caller by which door."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from exai.callers import Door
from exai.events.bus import EventBus
from exai.events.events import ConnectionClosed, ConnectionOpened

__all__ = ["ConnectedCaller", "OpenConnections"]


@dataclass(frozen=True, slots=True)
class ConnectedCaller:
    """A caller's connections by one door."""

    caller: str
    door: Door
    connections: int


class OpenConnections:
    """Counts from `ConnectionOpened` to `ConnectionClosed`."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, Door]] = Counter()

    def watch(self, bus: EventBus) -> None:
        """Count from now on."""
        bus.watch(self._opened, ConnectionOpened)
        bus.watch(self._closed, ConnectionClosed)

    def _opened(self, event: ConnectionOpened) -> None:
        self._counts[event.caller.subject, event.door] += 1

    def _closed(self, event: ConnectionClosed) -> None:
        key = (event.caller.subject, event.door)
        self._counts[key] -= 1
        if self._counts[key] <= 0:
            del self._counts[key]

    def __iter__(self) -> Iterator[ConnectedCaller]:
        """Iterate over callers, those with the most connections first."""
        for (caller, door), connections in self._counts.most_common():
            yield ConnectedCaller(caller, door, connections)
