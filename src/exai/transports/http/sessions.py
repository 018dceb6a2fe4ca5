"""The SDK's HTTP sessions (`Mcp-Session-Id`), each bound to the subject who began it.

Another subject's is served as one that does not exist, by the same steps. Here sessions are ended when
the credential that was last used for them is revoked, when they were idle for `IDLE_S`, and when their caller begins
more than it may have: then the one that was idle for longest.

A request whose client went away before the answer runs on, as MCP 2025-11-25 has it (transports, sending messages: a
disconnection is not a cancellation), as long as the client shows itself, by a request of its session or a stream. When
none of these was open for the grace time, it is cancelled, and the session stays.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import lru_cache, partial
from typing import Any, Protocol

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import Message, Receive, Scope, Send

from exai import config
from exai.auth.revocation_state import EndReason
from exai.callers import Caller
from exai.protocol.jsonrpc import encode
from exai.runtime import tasks
from exai.runtime.clock import Clock
from exai.transports.http.answers import replayed
from exai.transports.http.running_requests import Session
from exai.web.credential_watch import CredentialWatch, CredentialWatcher

__all__ = ["Client", "HttpSessions", "Stop", "session_id_of"]

SESSION_HEADER = b"mcp-session-id"
NOBODYS = b"0"
"""No session's id; the SDK's are longer."""
MOST_ABANDONED = 1_000
"""Requests of one session that are remembered, more than one caller may have under way."""
IDLE_S = 30 * 60
SWEEP_S = 60


class Stop(Enum):
    """Why a request ends without the answer of its call."""

    CANCELLED = auto()
    """Its client cancelled it, or has gone."""
    ENDED = auto()
    """Its session ended."""
    REVOKED = auto()
    """Its caller's credential was revoked."""


class Client(Protocol):
    """What is kept of a session's handshake."""

    @property
    def protocol_version(self) -> str:
        """The revision that was agreed on."""
        ...


@dataclass(slots=True)
class _Bound:
    """What is known of one session."""

    subject: str
    watch: CredentialWatch
    last_used: float
    in_use: int = 0
    """Requests of it that are being served, an open stream among them."""
    client: Client | None = None
    abandoned: deque[Callable[[], None]] = field(default_factory=lambda: deque(maxlen=MOST_ABANDONED))
    """What cancels the requests whose client left before the answer; without effect on those that ended meanwhile."""
    plain: set[Callable[[Stop], None]] = field(default_factory=set)
    """What stops the requests of which the SDK knows nothing."""
    grace: asyncio.TimerHandle | None = None
    """Runs while nothing of the session is open and something was abandoned."""


class HttpSessions:
    """The SDK's application with its sessions bound."""

    def __init__(
        self, server: Server[Any], settings: config.Settings, watcher: CredentialWatcher, clock: Clock
    ) -> None:
        # The SDK counts every request without a session as one; here only what was begun is counted.
        self.manager = StreamableHTTPSessionManager(
            server,
            max_request_body_size=settings.server.max_body_bytes,
            session_idle_timeout=None,  # it knows nothing of plain calls
            max_sessions=None,
        )
        self._limits = settings.sessions
        self._watcher = watcher
        self._clock = clock
        self._bound: dict[bytes, _Bound] = {}
        self._swept = clock.monotonic()

    async def serve(
        self, caller: Caller, scope: Scope, receive: Receive, send: Send, client: Client | None = None
    ) -> None:
        """Serve one request of the caller; `client` is kept of one that begins a session."""

        session_id = session_id_of(scope)
        if session_id is not None and not self._is_of(session_id, caller):
            session_id = NOBODYS
            scope["headers"] = [
                (name, NOBODYS if name == SESSION_HEADER else value) for name, value in scope["headers"]
            ]
        status = 0
        bound = self._begin_use(session_id, caller)
        is_settled = False

        def settle() -> None:
            """Let go of the session: before the last byte leaves, as the client may begin its next request then."""
            nonlocal is_settled
            if is_settled:
                return
            is_settled = True
            self._end_use(session_id, bound)
            is_over = status == 404 or (scope["method"] == "DELETE" and status == 200)
            if is_over and session_id is not None and self._is_of(session_id, caller):
                self._forget(session_id)

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                begun = dict(message["headers"]).get(SESSION_HEADER)
                if session_id is None and begun is not None and status < 400:
                    self._bind(begun, caller, client)
            elif not message.get("more_body"):
                settle()
            await send(message)

        scope["user"] = _principal(caller.subject)
        try:
            await self.manager.handle_request(scope, receive, noting)
        finally:
            settle()

    def has_too_many(self, caller: Caller) -> bool:
        """Check whether this caller may not begin another: there is no room, and none of its own is idle."""
        self.sweep()
        is_full = self._excess(caller) >= 0
        return is_full and self._longest_idle(caller) is None

    def client_of(self, session_id: bytes | None, caller: Caller) -> Client | None:
        """Return what is kept of the handshake of a session of this caller."""
        if session_id is None or not self._is_of(session_id, caller):
            return None
        return self._bound[session_id].client

    @contextmanager
    def using(
        self, session_id: bytes, caller: Caller, stop: Callable[[Stop], None]
    ) -> Iterator[Callable[[], None]]:
        """The scope of a plain request of a session of this caller.

        What it is given lets go of the session before: as the answer leaves, or when its client has gone.
        """
        bound = self._begin_use(session_id, caller)
        assert bound is not None, "its client is known"  # noqa: S101
        bound.plain.add(stop)
        is_settled = False

        def settle() -> None:
            nonlocal is_settled
            if not is_settled:
                is_settled = True
                self._end_use(session_id, bound)

        try:
            yield settle
        finally:
            bound.plain.discard(stop)
            settle()

    def note_abandoned(self, session: Session, request_id: str) -> None:
        """Note a request of the SDK's that runs on although its client went away before the answer."""
        subject, session_id = session
        self.note_left(session, partial(self._cancel_in_sdk, session_id, subject, request_id))

    def note_left(self, session: Session, cancel: Callable[[], None]) -> None:
        """Note a request that runs on although its client went away before the answer, and how to cancel it."""
        subject, session_id = session
        bound = self._bound.get(session_id)
        if bound is not None and bound.subject == subject:
            bound.abandoned.append(cancel)
            self._begin_grace(session_id, bound)

    def end(self, session_id: bytes, caller: Caller) -> None:
        """End a session of this caller with the calls that run in it, as its own client would by DELETE."""
        if self._is_of(session_id, caller):
            self._end(session_id, caller.subject)

    def _end(self, session_id: bytes, subject: str) -> None:
        self._forget(session_id)
        scope = _request_of_ours("DELETE", session_id, subject)
        deleting = self.manager.handle_request(scope, _nothing_comes, _nobody_reads)
        tasks.spawn(deleting, name="end http session")

    def _begin_use(self, session_id: bytes | None, caller: Caller) -> _Bound | None:
        """Note that a request of the session is served; returns what is known of it."""
        if session_id is None or not self._is_of(session_id, caller):
            return None
        bound = self._bound[session_id]
        if bound.watch.caller.credential != caller.credential:
            bound.watch.move_to(caller)
        bound.in_use += 1
        _stop_grace(bound)
        return bound

    def _end_use(self, session_id: bytes | None, bound: _Bound | None) -> None:
        if session_id is not None and bound is not None:
            bound.in_use -= 1
            bound.last_used = self._clock.monotonic()
            self._begin_grace(session_id, bound)

    def _begin_grace(self, session_id: bytes, bound: _Bound) -> None:
        """Give the client time to show itself, if it left a request behind and has nothing open any more."""
        if bound.in_use or not bound.abandoned or self._bound.get(session_id) is not bound:
            return
        _stop_grace(bound)
        loop = asyncio.get_running_loop()
        bound.grace = loop.call_later(self._limits.http_grace_s, self._cancel_abandoned, bound)

    def _cancel_abandoned(self, bound: _Bound) -> None:
        """Cancel what the client left behind, as it would itself."""
        while bound.abandoned:
            bound.abandoned.popleft()()

    def _cancel_in_sdk(self, session_id: bytes, subject: str, request_id: str) -> None:
        params = {"requestId": request_id, "reason": "the client is gone"}
        notice = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
        scope = _request_of_ours("POST", session_id, subject)
        receive = replayed(encode(notice).encode(), _nothing_comes)
        cancelling = self.manager.handle_request(scope, receive, _nobody_reads)
        tasks.spawn(cancelling, name="cancel abandoned request")

    def _is_of(self, session_id: bytes, caller: Caller) -> bool:
        bound = self._bound.get(session_id)
        return bound is not None and bound.subject == caller.subject

    def _bind(self, session_id: bytes, caller: Caller, client: Client | None) -> None:
        def end(reason: EndReason) -> None:
            if reason == "revoked":
                self.end(session_id, caller)

        self.sweep()
        # Only now, as many may begin at once.
        while self._excess(caller) >= 0 and (idle := self._longest_idle(caller)) is not None:
            self.end(idle, caller)
        watch = self._watcher.watch(caller, end)
        self._bound[session_id] = _Bound(caller.subject, watch, self._clock.monotonic(), client=client)

    def _excess(self, caller: Caller) -> int:
        """Count the sessions above the limits for this caller; below zero there is room."""
        excess = len(self._bound) - self._limits.max_sessions
        if caller.credential is not None:
            of_caller = sum(bound.subject == caller.subject for bound in self._bound.values())
            excess = max(excess, of_caller - self._limits.max_per_caller)
        return excess

    def _longest_idle(self, caller: Caller) -> bytes | None:
        """Find the session of this caller that was idle for longest."""
        idle = (
            (bound.last_used, session_id)
            for session_id, bound in self._bound.items()
            if bound.subject == caller.subject and not bound.in_use
        )
        return min(idle, default=(0.0, None))[1]

    def _forget(self, session_id: bytes) -> None:
        bound = self._bound.pop(session_id)
        bound.watch.release()
        _stop_grace(bound)
        for stop in list(bound.plain):
            stop(Stop.ENDED)

    def sweep(self) -> None:
        """End the sessions that were idle for too long; at most once in `SWEEP_S`, however often it is called."""
        now = self._clock.monotonic()
        if now - self._swept < SWEEP_S:
            return
        self._swept = now
        for session_id, bound in list(self._bound.items()):
            if not bound.in_use and now - bound.last_used > IDLE_S:
                self._end(session_id, bound.subject)


def session_id_of(scope: Scope) -> bytes | None:
    """Return the session that a request names."""
    return next((value for name, value in scope["headers"] if name == SESSION_HEADER), None)


def _stop_grace(bound: _Bound) -> None:
    if bound.grace is not None:
        bound.grace.cancel()
        bound.grace = None


def _request_of_ours(method: str, session_id: bytes, subject: str) -> Scope:
    """Make the scope of a request that the daemon makes in a client's place."""
    return {
        "type": "http",
        "method": method,
        "path": "/mcp",
        "query_string": b"",
        "headers": [
            (SESSION_HEADER, session_id),
            (b"content-type", b"application/json"),
            (b"accept", b"application/json, text/event-stream"),
        ],
        "user": _principal(subject),
    }


@lru_cache(maxsize=1024)
def _principal(subject: str) -> AuthenticatedUser:
    """Return a subject as the SDK has it: it compares these when a session is used."""
    return AuthenticatedUser(AccessToken(token="", client_id=subject, scopes=[]))


async def _nothing_comes() -> Message:
    return {"type": "http.disconnect"}


async def _nobody_reads(_: Message) -> None:
    return
