"""Bounds the connections on which no request has been authenticated yet, so that they leave descriptors for others.

A client authenticates with its first request, so a connection that stays without one is of no use, or an attack.
Nothing here counts addresses: behind a proxy all clients have one.
"""

import sys
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

from exai.runtime.clock import Clock

__all__ = ["STATE_KEY", "UnauthenticatedConnection", "UnauthenticatedConnections", "note_authenticated"]

STATE_KEY = "exai.unauthenticated"
"""Where a request's scope has its connection, in `state`."""
MOST = 4_096
"""Such connections at once, where descriptors allow; else half of what the process may have."""
SCARCE = 16
"""A connection whose descriptor is one of the last so many takes another's place."""
LOG_EVERY_S = 60.0

_log = structlog.get_logger(__name__)


class UnauthenticatedConnection:
    """One connection. Requests' scopes refer to it, so it does not refer to the connection itself."""

    __slots__ = ("_all",)

    def __init__(self, connections: "UnauthenticatedConnections") -> None:
        self._all = connections

    def note_answered(self) -> None:
        """Close it before those that are still to send a request, as one of it was answered."""
        self._all.note_answered(self)

    def leave(self) -> None:
        """Take it out of the bound, as a request of it was authenticated, or it has ended."""
        self._all.remove(self)


class UnauthenticatedConnections:
    """All of them, each with the way to close it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._silent: dict[UnauthenticatedConnection, Callable[[], None]] = {}
        self._answered: dict[UnauthenticatedConnection, Callable[[], None]] = {}
        """Both in the order in which they came."""
        self._closed = 0
        self._logged = -LOG_EVERY_S

    def __len__(self) -> int:
        return len(self._silent) + len(self._answered)

    def add(self, descriptor: int, close: Callable[[], None]) -> UnauthenticatedConnection:
        """Add one, and close another where there are too many, or too few descriptors."""
        limit = _descriptor_limit()
        is_scarce = limit is not None and descriptor >= limit - SCARCE
        most = MOST if limit is None else min(MOST, limit // 2)
        if is_scarce or len(self) >= most:
            self._close_one()
            self._log_closed(descriptor if is_scarce else None, limit)
        connection = UnauthenticatedConnection(self)
        self._silent[connection] = close
        return connection

    def note_answered(self, connection: UnauthenticatedConnection) -> None:
        """See `UnauthenticatedConnection`."""
        close = self._silent.pop(connection, None)
        if close is not None:
            self._answered[connection] = close

    def remove(self, connection: UnauthenticatedConnection) -> None:
        """See `UnauthenticatedConnection`."""
        self._silent.pop(connection, None)
        self._answered.pop(connection, None)

    def _close_one(self) -> None:
        among = self._answered or self._silent
        for connection in among:
            close = among.pop(connection)
            close()
            self._closed += 1
            return

    def _log_closed(self, scarce: int | None, limit: int | None) -> None:
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


def note_authenticated(scope: MutableMapping[str, Any]) -> None:
    """Take the connection of a request that was authenticated out of the bound."""
    connection = scope.get("state", {}).get(STATE_KEY)
    if connection is not None:
        connection.leave()


if sys.platform == "win32":

    def _descriptor_limit() -> int | None:
        return None

else:
    import resource

    def _descriptor_limit() -> int | None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return None if soft == resource.RLIM_INFINITY else soft
