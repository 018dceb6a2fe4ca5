"""The pool of connections to one provider, and how a request got its connection."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING

import aiohttp

from exai import config
from exai.runtime.clock import Clock

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

__all__ = ["Attempt", "open_session"]

KEEP_IDLE_S = 30.0
"""How long an unused connection is kept: less than the 60 s after which common servers close it."""


USED = "set_exception"
"""The attribute of its own that a connection has from its first request on."""


class Attempt:
    """How one request got its connection. As a context it watches the request of the current task."""

    __slots__ = ("_token", "connect_s", "connected", "reused")

    def __init__(self) -> None:
        self.connect_s = 0.0
        """Name lookup, TCP and TLS, in seconds; almost 0 when a connection was ready."""
        self.connected = False
        """Whether it got a connection, over which the request left."""
        self.reused = False
        """Whether the connection had served an earlier request."""

    def __enter__(self) -> "Attempt":
        self._token = _attempt.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _attempt.reset(self._token)


_attempt: ContextVar[Attempt] = ContextVar("attempt")


def open_session(
    headers: Mapping[str, str], timeouts: config.Timeouts, clock: Clock
) -> aiohttp.ClientSession:
    """Open a pool for one provider. Admission limits how many connections there are.

    It needs a running loop. Every request has `headers`. All time limits but that of connecting are the call's.
    """
    return aiohttp.ClientSession(
        headers=headers,
        connector=_Connector(clock),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=timeouts.connect_s),
        raise_for_status=False,
    )


class _Connector(aiohttp.TCPConnector):
    """Reports its connection to the current attempt; aiohttp's own tracing costs several times as much."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(limit=0, keepalive_timeout=KEEP_IDLE_S)
        self._clock = clock

    async def connect(
        self,
        req: "ClientRequest",
        traces: "list[Trace]",
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own signature
    ) -> "Connection":
        began = self._clock.monotonic()
        connection = await super().connect(req, traces, timeout)
        attempt = _attempt.get()
        attempt.connect_s = self._clock.monotonic() - began
        attempt.connected = True
        protocol = connection.protocol
        if protocol is not None:
            attempt.reused = USED in protocol.__dict__
            if not attempt.reused:
                _fail_body_with(protocol)
        return connection


def _fail_body_with(protocol: "ResponseHandler") -> None:
    """Mark a connection as used, and have a body's reader fail when the connection does.

    aiohttp 3.14 leaves it waiting after a malformed chunk.
    """
    fail = protocol.set_exception

    def fail_both(error: BaseException, *cause: BaseException) -> None:
        body = protocol._payload  # noqa: SLF001 - aiohttp has no public way to it
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(aiohttp.ClientPayloadError(f"The body cannot be read: {error}"), *cause)
        fail(error, *cause)

    setattr(protocol, USED, fail_both)
