"""MCP over WebSocket at `/` and `/mcp`: who may connect, and in which subprotocol (`subprotocols.py`).

Close codes: 1003 binary, 1007 not UTF-8, 1008 against the rules of the session, 1009 too big, 1011 no sign of
life or an incident, 1012 stop, 4401 the credential has ended, 4408 no first frame in time, 4409 fenced by a newer
connection, 4410 an operator ended the session.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mcp.server.lowlevel import Server
from starlette.types import Receive, Scope, Send

from exai import config
from exai.callers import Caller, Door
from exai.errors import ExaiError
from exai.events.bus import EventBus
from exai.events.events import ConnectionClosed, ConnectionOpened
from exai.protocol.session import SESSION_SUBPROTOCOL
from exai.runtime.clock import Clock
from exai.transports.parsing import MessageParser
from exai.transports.pump import Pump
from exai.transports.pump import Send as SendText
from exai.transports.traffic import Traffic
from exai.transports.websocket.connection import Connection
from exai.transports.websocket.protocol import protocol_of
from exai.transports.websocket.resilient import ResilientWebSocketManager
from exai.transports.websocket.subprotocols import PlainMessages, SessionFrames, Subprotocol
from exai.web.auth_gate import AuthGate
from exai.web.credential_watch import CredentialWatcher
from exai.web.hosts import HostRule
from exai.web.refusals import PlainRefusal

__all__ = ["SUBPROTOCOL", "WebSocketDoor"]

SUBPROTOCOL = "mcp"
SUBPROTOCOLS = (SESSION_SUBPROTOCOL, SUBPROTOCOL)
"""The one that is preferred first."""
PATHS = frozenset({"", "/mcp"})
RESUME_HINT = (
    "EXAI is stopping. Connect again in a few seconds and resume; if that is refused, open a session."
)


class WebSocketDoor:
    """The ASGI application of WebSocket connections."""

    def __init__(
        self,
        server: Server[Any],
        *,
        settings: config.Settings,
        hosts: HostRule,
        gate: AuthGate,
        watcher: CredentialWatcher,
        bus: EventBus,
        traffic: Traffic,
        clock: Clock,
    ) -> None:
        self._server = server
        self._limits = settings.websocket
        self._parser = MessageParser(settings.websocket.max_json_depth)
        self._handshake_s = settings.sessions.handshake_s
        self._hosts = hosts
        self._gate = gate
        self._watcher = watcher
        self._bus = bus
        self._traffic = traffic
        self._sockets: Counter[str] = Counter()
        """Open ones by the subject of the token that opened them."""
        self.sessions = ResilientWebSocketManager(settings.sessions, self._pump, watcher, bus, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        caller = await self._authorize(scope)
        if isinstance(caller, PlainRefusal):
            await _refuse(send, caller)
            protocol_of(scope).note_refused()
            return
        offered = scope["subprotocols"]
        agreed = next((each for each in SUBPROTOCOLS if each in offered), None)
        await send({"type": "websocket.accept", "subprotocol": agreed})
        self._bus.publish(ConnectionOpened(Door.WEBSOCKET, caller))
        connection, subprotocol = self._connected(agreed, caller, scope, receive, send)
        try:
            with (
                self._counted(caller),
                self._traffic.incoming.share(caller.subject) as share,
                self._watcher.watching(caller, connection.end),
            ):
                protocol_of(scope).incoming = share
                await subprotocol.serve()
        finally:
            self._bus.publish(ConnectionClosed(Door.WEBSOCKET, caller, connection.reason))

    def _connected(
        self, agreed: str | None, caller: Caller, scope: Scope, receive: Receive, send: Send
    ) -> tuple[Connection, Subprotocol]:
        send_timeout_s = self._limits.send_timeout_s
        if agreed == SESSION_SUBPROTOCOL:
            connection = Connection(scope, receive, send, send_timeout_s, parting_hint=RESUME_HINT)
            return connection, SessionFrames(connection, self._bus, self.sessions, caller, self._handshake_s)
        connection = Connection(scope, receive, send, send_timeout_s)
        return connection, PlainMessages(connection, self._bus, self._pump(caller, connection.send))

    async def _authorize(self, scope: Scope) -> Caller | PlainRefusal:
        """Identify who connects; returns a refusal for who may not."""
        if (refused := self._hosts.refusal(scope["headers"])) is not None:
            return refused
        if scope["path"].rstrip("/") not in PATHS:
            return PlainRefusal(404, "Nothing is here. MCP over WebSocket is at / and /mcp.")
        if scope["subprotocols"] and not set(SUBPROTOCOLS).intersection(scope["subprotocols"]):
            return PlainRefusal(400, f"This door speaks the subprotocol `{SUBPROTOCOL}`. Offer it, or none.")
        try:
            caller = await self._gate.authenticate(scope, Door.WEBSOCKET)
        except ExaiError as fault:
            return PlainRefusal(fault.http_status, str(fault), self._gate.challenge(fault, scope))
        if self._sockets[caller.subject] >= self._limits.max_per_caller:
            return PlainRefusal(
                429, f"You have {self._limits.max_per_caller} sockets open. Close some, or use fewer."
            )
        return caller

    @contextmanager
    def _counted(self, caller: Caller) -> Iterator[None]:
        if caller.credential is None:
            yield
            return
        self._sockets[caller.subject] += 1
        try:
            yield
        finally:
            self._sockets[caller.subject] -= 1
            if not self._sockets[caller.subject]:
                del self._sockets[caller.subject]

    def _pump(self, caller: Caller, send: SendText) -> Pump:
        return Pump(
            self._server,
            caller=caller,
            send=send,
            limits=self._limits,
            parser=self._parser,
            traffic=self._traffic,
            bus=self._bus,
        )


async def _refuse(send: Send, refused: PlainRefusal) -> None:
    """Answer the upgrade with an HTTP error (ASGI's websocket denial response)."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *refused.headers]
    await send({"type": "websocket.http.response.start", "status": refused.status, "headers": headers})
    body = refused.sentence.encode()
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
