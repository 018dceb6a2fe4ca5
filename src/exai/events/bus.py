"""The carriage of facts, within one process.

Watching is a courtesy of the path of a request: `publish` never waits, and a
watcher that raises is logged and costs nobody else anything.
"""

from collections.abc import Callable

import structlog

from exai.events.events import Event

__all__ = ["EventBus", "Watcher"]

Watcher = Callable[[Event], None]

_log = structlog.get_logger(__name__)


class EventBus:
    """Hands each published event to every watcher, in order of subscription."""

    def __init__(self) -> None:
        self._watchers: list[Watcher] = []

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` with every event from now on. It must return at once."""
        self._watchers.append(watcher)

    def publish(self, event: Event) -> None:
        """State a fact."""
        for watcher in self._watchers:
            try:
                watcher(event)
            except Exception:  # noqa: BLE001 - a watcher's fault must not reach the path of a request
                _log.exception("watcher failed", watcher=repr(watcher), event_type=type(event).__name__)
