"""Metrics of connections, resumable sessions, requests without a good token, and incidents."""

from exai.events.bus import EventBus
from exai.events.events import (
    CallerRefused,
    ConnectionClosed,
    ConnectionOpened,
    IncidentRecorded,
    SessionEnded,
    SessionOpened,
    SessionResumed,
)
from exai.monitoring.metrics import Metrics

__all__ = ["ConnectionMetrics", "IncidentMetrics"]


class ConnectionMetrics:
    """Counts connections, sessions and rejected requests."""

    def __init__(self, metrics: Metrics) -> None:
        self._open = metrics.gauge("connections", "Open connections, by door.", "door")
        self._closed = metrics.counter(
            "connections_closed",
            "Connections that ended; `stuck` was cut because it did not read.",
            "door",
            "reason",
        )
        self._callers_refused = metrics.counter(
            "callers_refused", "Requests that were not let in, for want of a good token.", "door", "error"
        )
        self._sessions_opened = metrics.counter("sessions_opened", "Resumable sessions that began.")[()]
        self._sessions_resumed = metrics.counter(
            "sessions_resumed", "Sockets that carried a session on; `gap` when messages were lost.", "gap"
        )
        self._sessions_ended = metrics.counter("sessions_ended", "Resumable sessions that ended.", "reason")

    def watch(self, bus: EventBus) -> None:
        """Count from now on."""
        bus.watch(lambda event: self._open[event.door,].inc(), ConnectionOpened)
        bus.watch(self._connection_closed, ConnectionClosed)
        bus.watch(lambda event: self._callers_refused[event.door, event.error_code].inc(), CallerRefused)
        bus.watch(lambda _: self._sessions_opened.inc(), SessionOpened)
        bus.watch(lambda event: self._sessions_resumed[str(event.gap).lower(),].inc(), SessionResumed)
        bus.watch(lambda event: self._sessions_ended[event.reason,].inc(), SessionEnded)

    def _connection_closed(self, event: ConnectionClosed) -> None:
        self._open[event.door,].dec()
        self._closed[event.door, event.reason].inc()


class IncidentMetrics:
    """Counts failures that nobody foresaw."""

    def __init__(self, metrics: Metrics) -> None:
        self._incidents = metrics.counter("incidents", "Unforeseen failures.", "kind")

    def watch(self, bus: EventBus) -> None:
        """Count from now on."""
        bus.watch(lambda event: self._incidents[event.kind,].inc(), IncidentRecorded)
