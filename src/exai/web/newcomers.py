"""Connections on which nobody has been admitted yet: bounded, so that they leave descriptors for those who are.

A caller is admitted with its first request, so a newcomer that stays one wants nothing, or means harm. Nothing
here counts addresses: behind a proxy all clients have one.
"""

import sys
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

from exai.runtime.clock import Clock

__all__ = ["STATE_KEY", "Newcomer", "Newcomers", "note_admitted"]

STATE_KEY = "exai.newcomer"
"""Where a request's scope has it, in `state`."""
MOST = 4_096
"""Newcomers at once, where descriptors allow; else half of what the process may have."""
SCARCE = 16
"""A connection whose descriptor is one of the last so many takes a newcomer's place."""
LOG_EVERY_S = 60.0

_log = structlog.get_logger(__name__)


class Newcomer:
    """One connection; left behind in the scope of its requests, so it knows nothing of the connection itself."""

    __slots__ = ("_newcomers",)

    def __init__(self, newcomers: "Newcomers") -> None:
        self._newcomers = newcomers

    def note_answered(self) -> None:
        """A request of it was answered: it goes before those that have not been heard."""
        self._newcomers.note_answered(self)

    def leave(self) -> None:
        """Somebody was admitted on it, or it is over; nothing happens the second time."""
        self._newcomers.remove(self)


class Newcomers:
    """All of them, each with the way to close it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._unheard: dict[Newcomer, Callable[[], None]] = {}
        self._answered: dict[Newcomer, Callable[[], None]] = {}
        """Both in the order in which they came."""
        self._closed = 0
        self._logged = -LOG_EVERY_S

    def __len__(self) -> int:
        return len(self._unheard) + len(self._answered)

    def add(self, descriptor: int, close: Callable[[], None]) -> Newcomer:
        """Take one in; another is closed where there are too many, or too few descriptors."""
        limit = _descriptor_limit()
        is_scarce = limit is not None and descriptor >= limit - SCARCE
        most = MOST if limit is None else min(MOST, limit // 2)
        if is_scarce or len(self) >= most:
            self._close_one()
            self._tell(descriptor if is_scarce else None, limit)
        newcomer = Newcomer(self)
        self._unheard[newcomer] = close
        return newcomer

    def note_answered(self, newcomer: Newcomer) -> None:
        """See `Newcomer`."""
        close = self._unheard.pop(newcomer, None)
        if close is not None:
            self._answered[newcomer] = close

    def remove(self, newcomer: Newcomer) -> None:
        """See `Newcomer`."""
        self._unheard.pop(newcomer, None)
        self._answered.pop(newcomer, None)

    def _close_one(self) -> None:
        among = self._answered or self._unheard
        for newcomer in among:
            close = among.pop(newcomer)
            close()
            self._closed += 1
            return

    def _tell(self, scarce: int | None, limit: int | None) -> None:
        now = self._clock.monotonic()
        if now - self._logged < LOG_EVERY_S:
            return
        self._logged = now
        closed, self._closed = self._closed, 0
        if scarce is None:
            _log.warning("connections without a caller are closed: too many", closed=closed, open=len(self))
        else:
            _log.warning(
                "file descriptors run out: raise the limit of open files (ulimit -n), or see who connects",
                descriptor=scarce,
                limit=limit,
                closed=closed,
                without_caller=len(self),
            )


def note_admitted(scope: MutableMapping[str, Any]) -> None:
    """A caller was admitted with this request: its connection is no newcomer any more."""
    newcomer = scope.get("state", {}).get(STATE_KEY)
    if newcomer is not None:
        newcomer.leave()


if sys.platform == "win32":

    def _descriptor_limit() -> int | None:
        return None

else:
    import resource

    def _descriptor_limit() -> int | None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return None if soft == resource.RLIM_INFINITY else soft
