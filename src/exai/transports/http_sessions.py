"""The SDK's HTTP sessions (`Mcp-Session-Id`), each bound to the subject who began it.

The SDK answers another subject as if the session did not exist; here it is ended when the credential
that was last used for it is revoked. What the SDK ends by itself it tells nobody, so a session that
nobody has used for longer than the SDK keeps one is forgotten.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import Message, Receive, Scope, Send

from exai import tasks
from exai.callers import Caller
from exai.clock import Clock
from exai.transports.entrance import Ending
from exai.transports.guards import Guard, Guards

__all__ = ["HttpSessions", "session_id_of"]

SESSION_HEADER = b"mcp-session-id"
IDLE_S = 30 * 60
MOST_OF_ONE_CALLER = 1_000
"""With a token; the SDK keeps ten times as many in all."""
SWEEP_S = 60


@dataclass(slots=True)
class _Bound:
    """What is known of one session."""

    subject: str
    guard: Guard
    last_used: float
    in_use: int = 0
    """Requests of it that are being served, an open stream among them."""


class HttpSessions:
    """The SDK's application with its sessions bound."""

    def __init__(self, server: Server[Any], max_body_bytes: int, guards: Guards, clock: Clock) -> None:
        self.manager = StreamableHTTPSessionManager(
            server, max_request_body_size=max_body_bytes, session_idle_timeout=IDLE_S
        )
        self._guards = guards
        self._clock = clock
        self._bound: dict[bytes, _Bound] = {}
        self._swept = clock.monotonic()

    async def serve(self, caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of the caller."""

        session_id = session_id_of(scope)
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                begun = dict(message["headers"]).get(SESSION_HEADER)
                if session_id is None and begun is not None and status < 400:
                    self._bind(begun, caller)
            await send(message)

        scope["user"] = _principal(caller.subject)
        with self._in_use(session_id, caller):
            await self.manager.handle_request(scope, receive, noting)
        is_over = status == 404 or (scope["method"] == "DELETE" and status == 200)
        if is_over and session_id is not None and self._is_of(session_id, caller):
            self._forget(session_id)

    def has_too_many(self, caller: Caller) -> bool:
        """Whether this caller may not begin another."""
        if caller.credential is None:
            return False
        self._sweep()
        return sum(bound.subject == caller.subject for bound in self._bound.values()) >= MOST_OF_ONE_CALLER

    async def end(self, session_id: bytes) -> None:
        """End a session with the calls that run in it, as its own client would by DELETE."""
        bound = self._bound.get(session_id)
        if bound is None:
            return
        self._forget(session_id)
        scope: Scope = {
            "type": "http",
            "method": "DELETE",
            "path": "/mcp",
            "query_string": b"",
            "headers": [(SESSION_HEADER, session_id)],
            "user": _principal(bound.subject),
        }
        await self.manager.handle_request(scope, _nothing_comes, _nobody_reads)

    @contextmanager
    def _in_use(self, session_id: bytes | None, caller: Caller) -> Iterator[None]:
        if session_id is None or not self._is_of(session_id, caller):
            yield
            return
        bound = self._bound[session_id]
        if bound.guard.caller.credential != caller.credential:
            bound.guard.move(caller)
        bound.in_use += 1
        try:
            yield
        finally:
            bound.in_use -= 1
            bound.last_used = self._clock.monotonic()

    def _is_of(self, session_id: bytes, caller: Caller) -> bool:
        bound = self._bound.get(session_id)
        return bound is not None and bound.subject == caller.subject

    def _bind(self, session_id: bytes, caller: Caller) -> None:
        def end(ending: Ending) -> None:
            if ending == "revoked":
                tasks.spawn(self.end(session_id), name="end http session")

        self._sweep()
        guard = self._guards.open(caller, end)
        self._bound[session_id] = _Bound(caller.subject, guard, self._clock.monotonic())

    def _forget(self, session_id: bytes) -> None:
        self._bound.pop(session_id).guard.release()

    def _sweep(self) -> None:
        now = self._clock.monotonic()
        if now - self._swept < SWEEP_S:
            return
        self._swept = now
        for session_id, bound in list(self._bound.items()):
            if not bound.in_use and now - bound.last_used > IDLE_S + SWEEP_S:
                self._forget(session_id)


def session_id_of(scope: Scope) -> bytes | None:
    """The session that a request names."""
    return next((value for name, value in scope["headers"] if name == SESSION_HEADER), None)


@lru_cache(maxsize=1024)
def _principal(subject: str) -> AuthenticatedUser:
    """A subject in the SDK's words: whom it compares when a session is used."""
    return AuthenticatedUser(AccessToken(token="", client_id=subject, scopes=[]))


async def _nothing_comes() -> Message:
    return {"type": "http.disconnect"}


async def _nobody_reads(_: Message) -> None:
    return
