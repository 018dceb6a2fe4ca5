"""MCP over WebSocket at `/` and `/mcp`: one JSON-RPC message per text frame, subprotocol `mcp`.

Close codes: 1003 binary, 1007 not UTF-8, 1009 too big, 1011 no sign of life or an incident, 1012 stop.
A peer that does not read is cut off when one message has waited `send_timeout_s`.
"""

import asyncio
from contextlib import suppress
from typing import Any

from mcp.server.lowlevel import Server
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from exai import config
from exai.bus import EventBus
from exai.callers import Caller
from exai.events import ConnectionClosed, ConnectionOpened
from exai.transports.hosts import HostRule, Refused
from exai.transports.pump import Pump
from exai.transports.pump import Send as SendText
from exai.transports.server import incident
from exai.transports.traffic import Traffic

__all__ = ["SUBPROTOCOL", "AbortableWebSocket", "WebSocketDoor"]

SUBPROTOCOL = "mcp"
DOOR = "websocket"
PATHS = frozenset({"", "/mcp"})
UNSUPPORTED_DATA = 1003
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012
PROTOCOL_CODES = frozenset({1002, 1007, 1009})
"""Closed by uvicorn for what the peer sent: broken framing, no UTF-8, too big."""
PARTING_S = 1.0
"""How long a peer that answers no ping may take to read why it is closed."""
LINGER_S = 10.0
"""The same for any other connection that has ended."""
LINE_KEY = "exai.line"
MAX_REASON = 123
"""Bytes of a close frame's reason (RFC 6455, 5.5)."""


class AbortableWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's protocol, with a way to drop a peer that does not read.

    Closing waits until what was written has been read, which such a peer never does.
    """

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["extensions"][LINE_KEY] = {"line": self}

    def abort(self) -> None:
        """Drop the peer now, whatever it has not read."""
        self.transport.abort()

    def note_refused(self) -> None:
        """The upgrade was answered with an HTTP error, which uvicorn logs as a handshake left undone."""
        self.handshake_complete = True

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.loop.call_later(PARTING_S, self.transport.abort)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        self.loop.call_later(LINGER_S, self.transport.abort)


class WebSocketDoor:
    """The ASGI application of WebSocket connections."""

    def __init__(
        self,
        server: Server[Any],
        *,
        limits: config.WebSocket,
        hosts: HostRule,
        bus: EventBus,
        traffic: Traffic,
    ) -> None:
        self._server = server
        self._limits = limits
        self._hosts = hosts
        self._bus = bus
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        offered = scope["subprotocols"]
        if (refused := self._refusal(scope)) is not None:
            await _refuse(send, refused)
            scope["extensions"][LINE_KEY]["line"].note_refused()
            return
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL if offered else None})
        self._bus.publish(ConnectionOpened(DOOR))
        connection = _Connection(self, scope, receive, send, self._bus)
        try:
            await connection.serve()
        finally:
            self._bus.publish(ConnectionClosed(DOOR, connection.reason))

    def _refusal(self, scope: Scope) -> Refused | None:
        if (refused := self._hosts.refusal(scope["headers"])) is not None:
            return refused
        if scope["path"].rstrip("/") not in PATHS:
            return Refused(404, "Nothing is here. MCP over WebSocket is at / and /mcp.")
        if scope["subprotocols"] and SUBPROTOCOL not in scope["subprotocols"]:
            return Refused(400, f"This door speaks the subprotocol `{SUBPROTOCOL}`. Offer it, or none.")
        return None

    def pump(self, send: SendText) -> Pump:
        """A pump for one connection."""
        return Pump(
            self._server,
            caller=Caller.local(DOOR),
            send=send,
            limits=self._limits,
            traffic=self._traffic,
            bus=self._bus,
        )

    @property
    def send_timeout_s(self) -> float:
        """How long one message may wait for its peer."""
        return self._limits.send_timeout_s


class _Connection:
    """One open socket."""

    def __init__(
        self, door: WebSocketDoor, scope: Scope, receive: Receive, send: Send, bus: EventBus
    ) -> None:
        self._bus = bus
        self._receive = receive
        self._send = send
        self._line: AbortableWebSocket = scope["extensions"][LINE_KEY]["line"]
        self._send_timeout_s = door.send_timeout_s
        self._pump = door.pump(self._send_text)
        self.reason = "client"

    async def serve(self) -> None:
        """Take messages until the peer or the daemon closes."""
        try:
            while True:
                event = await self._receive()
                if event["type"] == "websocket.disconnect":
                    self._note_end(event.get("code"))
                    return
                text = event.get("text")
                if text is None:
                    self.reason = "protocol"
                    await self._close(UNSUPPORTED_DATA, "Send JSON-RPC messages as text frames.")
                    return
                await self._pump.receive(text)
        except OSError:
            return
        except Exception as error:  # noqa: BLE001 - the door: the peer is told, the log has the rest
            await self._close(INTERNAL_ERROR, incident(error, where=DOOR, bus=self._bus).message[:MAX_REASON])
        finally:
            await self._pump.close()

    def _note_end(self, code: int | None) -> None:
        if self.reason != "client":
            return
        if code == SERVICE_RESTART:
            self.reason = "stopping"
        elif code in PROTOCOL_CODES:
            self.reason = "protocol"

    async def _close(self, code: int, sentence: str) -> None:
        with suppress(OSError, RuntimeError, ClientDisconnected):
            async with asyncio.timeout(self._send_timeout_s):
                await self._send({"type": "websocket.close", "code": code, "reason": sentence})

    async def _send_text(self, text: str) -> None:
        """Write one frame once the peer has room for it.

        Raises:
            ConnectionError: the peer is gone, or did not read for too long and was cut off.
        """
        frame = {"type": "websocket.send", "text": text}
        try:
            if (
                self._line.writable.is_set()
            ):  # then nothing waits, and a deadline would be a tenth of the cost
                await self._send(frame)
                return
            async with asyncio.timeout(self._send_timeout_s):
                await self._send(frame)
        except TimeoutError:
            self.reason = "stuck"
            self._line.abort()
            raise ConnectionAbortedError("the peer did not read") from None
        except (
            ClientDisconnected,
            RuntimeError,
        ):  # a RuntimeError is uvicorn's word for a send after the close
            raise ConnectionResetError("the peer is gone") from None


async def _refuse(send: Send, refused: Refused) -> None:
    """Answer the upgrade with an HTTP error (ASGI's websocket denial response)."""
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "websocket.http.response.start", "status": refused.status, "headers": headers})
    body = refused.sentence.encode()
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
