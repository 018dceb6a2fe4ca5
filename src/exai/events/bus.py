"""The event bus: publishers state what happened, and each watcher is called with the kind of event it asked for.

`publish` calls watchers at once, in the order in which they subscribed. It never waits, and a watcher that raises is
logged and skipped, so watching cannot fail a request.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import structlog

from exai.events.events import Event

__all__ = ["EventBus", "Watcher"]

E = TypeVar("E", bound=Event)
Watcher = Callable[[E], None]
"""Is called with each event of its kind, and must return at once."""

_log = structlog.get_logger(__name__)


class EventBus:
    """Calls watchers by kind of event; which ones is looked up once per kind."""

    def __init__(self) -> None:
        self._subscriptions: list[tuple[type[Event], Watcher[Any]]] = []
        self._by_kind: dict[type[Event], tuple[Watcher[Any], ...]] = {}

    def watch(self, watcher: Watcher[E], kind: type[E]) -> None:
        """Call `watcher` with every event of this kind from now on. The kind `Event` means all."""
        self._subscriptions.append((kind, watcher))
        self._by_kind.clear()

    def publish(self, event: Event) -> None:
        """State what happened."""
        kind = type(event)
        watchers = self._by_kind.get(kind)
        if watchers is None:
            watchers = self._by_kind[kind] = self._watchers_of(kind)
        for watcher in watchers:
            try:
                watcher(event)
            except Exception:  # noqa: BLE001 - a watcher's failure must not become its publisher's
                _log.exception("watcher failed", watcher=repr(watcher), event_type=kind.__name__)

    def _watchers_of(self, kind: type[Event]) -> tuple[Watcher[Any], ...]:
        return tuple(watcher for wanted, watcher in self._subscriptions if issubclass(kind, wanted))
