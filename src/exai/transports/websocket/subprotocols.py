"""What the texts of a connection mean, by the subprotocol that was agreed on.

`mcp`: one JSON-RPC message per text frame; a call ends with its connection. `exai.mcp.v1`: the same messages
numbered, in a session that outlives its connections (`exai/protocol/session.py`, `resilient.py`).
"""

import asyncio
from abc import ABC, abstractmethod

from websockets.frames import CloseCode

from exai.callers import Caller, Door
from exai.events.bus import EventBus
from exai.events.incidents import record_incident
from exai.protocol.session import Open, Resume, Violation, read_frame, write_frame
from exai.protocol.session import Refused as SessionRefusal
from exai.transports.pump import Pump
from exai.transports.websocket.connection import Connection
from exai.transports.websocket.resilient import ClientSession, ResilientWebSocketManager, SessionRefused

__all__ = ["PlainMessages", "SessionFrames", "Subprotocol"]

NO_FIRST_FRAME = 4408
MAX_REASON = 123
"""Bytes of a close frame's reason (RFC 6455, 5.5)."""


class Subprotocol(ABC):
    """Serves one connection."""

    def __init__(self, connection: Connection, bus: EventBus) -> None:
        self._connection = connection
        self._bus = bus

    async def serve(self) -> None:
        """Take messages until the peer or the daemon closes."""
        try:
            await self._serve()
        except OSError:
            return
        except Exception as error:  # noqa: BLE001 - the port: the peer reads the incident's id, the log has the rest
            incident = record_incident(error, where=Door.WEBSOCKET, publish=self._bus.publish)
            await self._connection.close(CloseCode.INTERNAL_ERROR, incident.sentence[:MAX_REASON])
        finally:
            await self._leave()

    @abstractmethod
    async def _serve(self) -> None: ...

    @abstractmethod
    async def _leave(self) -> None: ...


class PlainMessages(Subprotocol):
    """`mcp`: what runs ends with the connection."""

    def __init__(self, connection: Connection, bus: EventBus, pump: Pump) -> None:
        super().__init__(connection, bus)
        self._pump = pump

    async def _serve(self) -> None:
        while (text := await self._connection.text()) is not None:
            await self._pump.receive(text)
            del text  # megabytes, until another message comes

    async def _leave(self) -> None:
        await self._pump.close()


class SessionFrames(Subprotocol):
    """`exai.mcp.v1`: the connection carries a session."""

    def __init__(
        self,
        connection: Connection,
        bus: EventBus,
        sessions: ResilientWebSocketManager,
        caller: Caller,
        handshake_s: float,
    ) -> None:
        super().__init__(connection, bus)
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
            while (text := await self._connection.text()) is not None:
                if not await session.take(text, self._generation):
                    await self._sessions.end(session, "client")
                    return
                del text  # megabytes, until another message comes
        except Violation as violation:
            await self._connection.refuse(CloseCode.POLICY_VIOLATION, str(violation)[:MAX_REASON])

    async def _begin(self) -> ClientSession | None:
        """Wait for the session that this connection carries; `None` when it ended before."""
        try:
            async with asyncio.timeout(self._handshake_s):
                while (text := await self._connection.text()) is not None:
                    frame = read_frame(text)
                    if isinstance(frame, Open | Resume):
                        try:
                            return self._attach(frame)
                        except SessionRefused as refused:
                            refusal = SessionRefusal(refused.code, str(refused))
                            await self._connection.send(write_frame(refusal))
                    else:
                        raise Violation("Begin with `open` or `resume`.")
        except TimeoutError:
            await self._connection.refuse(NO_FIRST_FRAME, "No session was opened in time.")
        return None

    def _attach(self, frame: Open | Resume) -> ClientSession:
        if isinstance(frame, Open):
            session = self._sessions.open(self._caller, self._connection, credit=frame.credit)
        else:
            session = self._sessions.resume(self._caller, self._connection, frame)
        self._session, self._generation = session, session.endpoint.generation
        return session

    async def _leave(self) -> None:
        if self._session is not None:
            self._session.cut(self._generation)
