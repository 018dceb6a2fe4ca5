"""MCP over WebSocket at `/` and `/mcp`, in two subprotocols.

`mcp`: one JSON-RPC message per text frame; a call ends with its socket. `exai.mcp.v1`: the same messages
numbered, in a session that outlives its sockets (`session.py`, `resilient.py`).

Close codes: 1003 binary, 1007 not UTF-8, 1008 against the rules of the session, 1009 too big, 1011 no sign of
life or an incident, 1012 stop, 4401 the credential is over, 4408 no first frame in time, 4409 fenced by a newer
socket.
A peer that does not read is cut off when one message has waited `send_timeout_s`.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from mcp.server.lowlevel import Server
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request
from websockets.protocol import State

from exai import config
from exai.callers import Caller, Door
from exai.errors import ExaiError
from exai.events.bus import EventBus
from exai.events.events import ConnectionClosed, ConnectionOpened
from exai.protocol.carrier import DOES_NOT_ACKNOWLEDGE, FENCED
from exai.protocol.session import SESSION_SUBPROTOCOL, Open, Resume, Violation, read_frame, write_frame
from exai.protocol.session import Refused as SessionRefusal
from exai.runtime import tasks
from exai.runtime.clock import Clock
from exai.transports.pump import Pump
from exai.transports.pump import Send as SendText
from exai.transports.server import incident
from exai.transports.traffic import Traffic
from exai.transports.websocket.resilient import ClientSession, ResilientWebSocketManager, SessionRefused
from exai.web.entrance import Ending, Entrance
from exai.web.guards import Guards
from exai.web.hosts import HostRule, Refused

__all__ = ["SUBPROTOCOL", "AbortableWebSocket", "WebSocketDoor"]

SUBPROTOCOL = "mcp"
SUBPROTOCOLS = (SESSION_SUBPROTOCOL, SUBPROTOCOL)
"""The one that is preferred first."""
PATHS = frozenset({"", "/mcp"})
UNSUPPORTED_DATA = 1003
POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012
CREDENTIAL_OVER = 4401
NO_FIRST_FRAME = 4408
DROPPED = {FENCED: "fenced", DOES_NOT_ACKNOWLEDGE: "stuck"}
"""How `ConnectionClosed` says why a session let go of its socket."""
PROTOCOL_CODES = frozenset({1002, 1007, 1009})
"""Closed by uvicorn for what the peer sent: broken framing, no UTF-8, too big."""
PARTING_S = 1.0
"""How long a peer that answers no ping may take to read why it is closed."""
LINGER_S = 10.0
"""The same for any other connection that has ended."""
LINE_KEY = "exai.line"
MAX_FRAGMENTS = 10_000
"""Of one message. The size of a message does not bound them: they may be empty."""
MAX_REASON = 123
"""Bytes of a close frame's reason (RFC 6455, 5.5)."""
RECONNECT_HINT = "EXAI is stopping. Connect again in a few seconds."
RESUME_HINT = (
    "EXAI is stopping. Connect again in a few seconds and resume; if that is refused, open a session."
)


class AbortableWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's protocol, with a way to drop a peer that does not read.

    Closing waits until what was written has been read, which such a peer never does.
    """

    _linger: asyncio.TimerHandle | None = None
    parting_hint = RECONNECT_HINT
    """What the peer reads when EXAI stops."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["extensions"][LINE_KEY] = {"line": self}

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.transport.is_closing():
            # A head with too many or too long lines has been answered by now, but uvicorn writes nothing of it.
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def abort(self) -> None:
        """Drop the peer now, whatever it has not read."""
        self.transport.abort()

    def note_refused(self) -> None:
        """The upgrade was answered with an HTTP error, which uvicorn logs as a handshake left undone."""
        self.handshake_complete = True

    def shutdown(self) -> None:
        """Close with 1012 and what to do next; uvicorn's own close frame gives no reason."""
        self.part(SERVICE_RESTART, self.parting_hint)
        super().shutdown()

    def part(self, code: int, reason: str) -> None:
        """Close without waiting for anything."""
        if self.handshake_complete and not self.close_sent and self.conn.state is State.OPEN:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": code})
            self.conn.send_close(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True

    def handle_cont(self, event: Frame) -> None:
        if self.close_sent:
            return
        if len(self.frames) >= MAX_FRAGMENTS:
            self.frames = []
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, "A message came in too many fragments.")
            self.handle_parser_exception()
            return
        super().handle_cont(event)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.loop.call_later(PARTING_S, self.transport.abort)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        # The scope knows this object: left so, only a full collection of garbage would free either.
        self.scope["extensions"].pop(LINE_KEY, None)
        if not self.disconnected:
            self._linger = self.loop.call_later(LINGER_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._linger is not None:
            self._linger.cancel()
        # Ends its parser, which holds it, as would the error that says why it ended.
        with suppress(EOFError):
            self.conn.receive_eof()
        self.conn.parser_exc = None


class WebSocketDoor:
    """The ASGI application of WebSocket connections."""

    def __init__(
        self,
        server: Server[Any],
        *,
        settings: config.Settings,
        hosts: HostRule,
        entrance: Entrance,
        guards: Guards,
        bus: EventBus,
        traffic: Traffic,
        clock: Clock,
    ) -> None:
        self._server = server
        self._limits = settings.websocket
        self._handshake_s = settings.sessions.handshake_s
        self._hosts = hosts
        self._entrance = entrance
        self._guards = guards
        self._bus = bus
        self._traffic = traffic
        self._sockets: Counter[str] = Counter()
        """Open ones by the subject of the token that opened them."""
        self.sessions = ResilientWebSocketManager(settings.sessions, self._pump, guards, bus, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        caller = await self._admit(scope)
        if isinstance(caller, Refused):
            await _refuse(send, caller)
            scope["extensions"][LINE_KEY]["line"].note_refused()
            return
        offered = scope["subprotocols"]
        subprotocol = next((each for each in SUBPROTOCOLS if each in offered), None)
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        self._bus.publish(ConnectionOpened(Door.WEBSOCKET, caller))
        is_resumable = subprotocol == SESSION_SUBPROTOCOL
        line = _Line(scope, receive, send, self._limits.send_timeout_s, is_resumable=is_resumable)
        connection: _Connection = (
            _SessionConnection(line, self._bus, self.sessions, caller, self._handshake_s)
            if is_resumable
            else _PlainConnection(line, self._bus, self._pump(caller, line.send))
        )
        try:
            with self._counted(caller), self._guards.guarding(caller, line.end):
                await connection.serve()
        finally:
            self._bus.publish(ConnectionClosed(Door.WEBSOCKET, caller, line.reason))

    async def _admit(self, scope: Scope) -> Caller | Refused:
        """Who may come in, or why nobody may."""
        if (refused := self._hosts.refusal(scope["headers"])) is not None:
            return refused
        if scope["path"].rstrip("/") not in PATHS:
            return Refused(404, "Nothing is here. MCP over WebSocket is at / and /mcp.")
        if scope["subprotocols"] and not set(SUBPROTOCOLS).intersection(scope["subprotocols"]):
            return Refused(400, f"This door speaks the subprotocol `{SUBPROTOCOL}`. Offer it, or none.")
        try:
            caller = await self._entrance.admit(scope, Door.WEBSOCKET)
        except ExaiError as fault:
            return self._entrance.refusal(fault, scope)
        if self._sockets[caller.subject] >= self._limits.max_per_caller:
            return Refused(
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
            self._server, caller=caller, send=send, limits=self._limits, traffic=self._traffic, bus=self._bus
        )


class _Line:
    """One open socket: texts in and out."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, send_timeout_s: float, *, is_resumable: bool
    ) -> None:
        self._receive = receive
        self._send = send
        self._line: AbortableWebSocket = scope["extensions"][LINE_KEY]["line"]
        self._send_timeout_s = send_timeout_s
        self.reason = "client"
        """Why it ended, as `ConnectionClosed` says it."""
        self._is_over = False
        if is_resumable:
            self._line.parting_hint = RESUME_HINT

    async def text(self) -> str | None:
        """The next message; `None` when the socket is over."""
        event = await self._receive()
        while self._is_over and event["type"] != "websocket.disconnect":
            event = await self._receive()
        if event["type"] == "websocket.disconnect":
            self._note_end(event.get("code"))
            return None
        text: str | None = event.get("text")
        if text is None:
            await self.refuse(UNSUPPORTED_DATA, "Send JSON-RPC messages as text frames.")
        return text

    async def refuse(self, code: int, sentence: str) -> None:
        """Close it for what the peer did."""
        self.reason = "protocol"
        await self.close(code, sentence)

    async def close(self, code: int, sentence: str) -> None:
        """Close it; the peer reads why, if it reads."""
        with suppress(OSError, RuntimeError, ClientDisconnected):
            async with asyncio.timeout(self._send_timeout_s):
                await self._send({"type": "websocket.close", "code": code, "reason": sentence})

    async def send(self, text: str) -> None:
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

    def end(self, ending: Ending) -> None:
        """Close it because its credential is over: nothing more is taken, and what runs for it is cancelled."""
        if self._is_over:
            return
        self._is_over = True
        self.reason = ending
        if self._line.writable.is_set():
            self._line.part(CREDENTIAL_OVER, ending)
        else:  # the reason would wait behind what the peer does not read
            self._line.abort()

    def drop(self, code: int, reason: str) -> None:
        """Close it soon: part of a session's `Socket`."""
        self.reason = DROPPED[code]
        tasks.spawn(self.close(code, reason), name="close socket")

    def _note_end(self, code: int | None) -> None:
        if self.reason != "client":
            return
        if code == SERVICE_RESTART:
            self.reason = "stopping"
        elif code in PROTOCOL_CODES:
            self.reason = "protocol"


class _Connection(ABC):
    """A socket and what its texts mean."""

    def __init__(self, line: _Line, bus: EventBus) -> None:
        self._line = line
        self._bus = bus

    async def serve(self) -> None:
        """Take messages until the peer or the daemon closes."""
        try:
            await self._serve()
        except OSError:
            return
        except Exception as error:  # noqa: BLE001 - the door: the peer is told, the log has the rest
            sentence = incident(error, where=Door.WEBSOCKET, bus=self._bus).message[:MAX_REASON]
            await self._line.close(INTERNAL_ERROR, sentence)
        finally:
            await self._leave()

    @abstractmethod
    async def _serve(self) -> None: ...

    @abstractmethod
    async def _leave(self) -> None: ...


class _PlainConnection(_Connection):
    """Subprotocol `mcp`: what runs ends with the socket."""

    def __init__(self, line: _Line, bus: EventBus, pump: Pump) -> None:
        super().__init__(line, bus)
        self._pump = pump

    async def _serve(self) -> None:
        while (text := await self._line.text()) is not None:
            await self._pump.receive(text)

    async def _leave(self) -> None:
        await self._pump.close()


class _SessionConnection(_Connection):
    """Subprotocol `exai.mcp.v1`: the socket carries a session."""

    def __init__(
        self,
        line: _Line,
        bus: EventBus,
        sessions: ResilientWebSocketManager,
        caller: Caller,
        handshake_s: float,
    ) -> None:
        super().__init__(line, bus)
        self._sessions = sessions
        self._caller = caller
        self._handshake_s = handshake_s
        self._session: ClientSession | None = None
        self._generation = 0

    async def _serve(self) -> None:
        try:
            session = await self._begin()
            if session is None:
                return
            await session.flush()
            while (text := await self._line.text()) is not None:
                if not await session.take(text, self._generation):
                    await self._sessions.end(session, "client")
                    return
        except Violation as violation:
            await self._line.refuse(POLICY_VIOLATION, str(violation)[:MAX_REASON])

    async def _begin(self) -> ClientSession | None:
        """The session that this socket carries; `None` when it ended before."""
        try:
            async with asyncio.timeout(self._handshake_s):
                while (text := await self._line.text()) is not None:
                    frame = read_frame(text)
                    if isinstance(frame, Open | Resume):
                        try:
                            return self._attach(frame)
                        except SessionRefused as refused:
                            await self._line.send(write_frame(SessionRefusal(refused.code, str(refused))))
                    else:
                        raise Violation("Begin with `open` or `resume`.")
        except TimeoutError:
            await self._line.refuse(NO_FIRST_FRAME, "No session was opened in time.")
        return None

    def _attach(self, frame: Open | Resume) -> ClientSession:
        if isinstance(frame, Open):
            session = self._sessions.open(self._caller, self._line, credit=frame.credit)
        else:
            session = self._sessions.resume(self._caller, self._line, frame)
        self._session, self._generation = session, session.end.generation
        return session

    async def _leave(self) -> None:
        if self._session is not None:
            self._session.cut(self._generation)


async def _refuse(send: Send, refused: Refused) -> None:
    """Answer the upgrade with an HTTP error (ASGI's websocket denial response)."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *refused.headers]
    await send({"type": "websocket.http.response.start", "status": refused.status, "headers": headers})
    body = refused.sentence.encode()
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
