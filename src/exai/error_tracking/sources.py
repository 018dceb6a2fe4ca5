"""The places that see faults without knowing of any: incidents, the log, threads, and calls that no process ended."""

import asyncio
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from typing_extensions import override

from exai.error_tracking.faults import FaultSource
from exai.error_tracking.noticing import FaultNotices
from exai.events.bus import EventBus
from exai.events.events import IncidentRecorded, RequestRecovered

__all__ = ["DUTY", "watch_sources"]

DUTY = "duty "
"""Begins the place of an incident in work that the process repeats by itself."""

OWN_LINES = "exai.error_tracking"
"""Loggers whose lines are no faults: one that cannot be recorded must not become the next."""

SOURCES = {
    "asyncio": FaultSource.LOOP,
    "exai.runtime.tasks": FaultSource.TASK,
    "exai.events.bus": FaultSource.WATCHER,
}
"""Loggers by which places below this package say that something failed."""


@contextmanager
def watch_sources(bus: EventBus, notices: FaultNotices) -> Iterator[None]:
    """Notice what the bus, the log and threads say, until the scope is left; and what ends the scope."""
    bus.watch(_Incidents(notices).on_incident, IncidentRecorded)
    bus.watch(_Recoveries(notices).on_recovered, RequestRecovered)
    handler = _ErrorLines(notices, asyncio.get_running_loop())
    root, hook = logging.getLogger(), threading.excepthook
    root.addHandler(handler)

    def on_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            handler.pass_on(args.exc_value, FaultSource.TASK)
        hook(args)

    threading.excepthook = on_thread
    try:
        yield
    except Exception as error:
        notices.notice(error, FaultSource.START)
        raise
    finally:
        threading.excepthook = hook
        root.removeHandler(handler)


class _Incidents:
    def __init__(self, notices: FaultNotices) -> None:
        self._notices = notices

    def on_incident(self, event: IncidentRecorded) -> None:
        source = FaultSource.TASK if event.where.startswith(DUTY) else FaultSource.DOOR
        self._notices.notice(event.error, source, incident_id=event.incident_id, facts={"where": event.where})


class _Recoveries:
    def __init__(self, notices: FaultNotices) -> None:
        self._notices = notices

    def on_recovered(self, event: RequestRecovered) -> None:
        self._notices.notice(
            event.error, FaultSource.CALL, handled=True, provider=event.provider, model=event.model
        )


class _ErrorLines(logging.Handler):
    """Notices lines from `error` on; what a thread says is noticed by the loop."""

    def __init__(self, notices: FaultNotices, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(logging.ERROR)
        self._notices = notices
        self._loop = loop
        self._thread = threading.get_ident()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(OWN_LINES):
            return
        source = SOURCES.get(record.name, FaultSource.LOG)
        error = _exception_of(record)
        if error is not None:
            self.pass_on(error, source)
        elif threading.get_ident() == self._thread:
            self._notices.notice_line(record, source)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._notices.notice_line, record, source)

    def pass_on(self, error: BaseException, source: FaultSource) -> None:
        """Notice an exception, in the loop's own thread."""
        if threading.get_ident() == self._thread:
            self._notices.notice(error, source)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(lambda: self._notices.notice(error, source))


def _exception_of(record: logging.LogRecord) -> BaseException | None:
    """Return the exception of a line of ours, which structlog keeps in its fields, or of a library's."""
    found: object = record.msg.get("exc_info") if isinstance(record.msg, dict) else record.exc_info
    if found is True:
        found = sys.exc_info()
    if isinstance(found, tuple):
        found = found[1]
    return found if isinstance(found, BaseException) else None
