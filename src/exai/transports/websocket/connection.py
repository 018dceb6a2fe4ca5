"""One open WebSocket: texts in and out, and why it ended."""

import asyncio
from contextlib import suppress

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.utils import ClientDisconnected
from websockets.frames import CloseCode

from exai.auth.revocation_state import EndReason
from exai.protocol.carrier import DOES_NOT_ACKNOWLEDGE, ENDED_BY_OPERATOR, FENCED
from exai.runtime import tasks
from exai.transports.websocket.protocol import protocol_of

__all__ = ["Connection"]

CREDENTIAL_OVER = 4401
DROPPED = {FENCED: "fenced", DOES_NOT_ACKNOWLEDGE: "stuck", ENDED_BY_OPERATOR: "operator"}
"""How `ConnectionClosed` says why a session let go of its socket."""
PEER_FAULTS = frozenset({CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA, CloseCode.MESSAGE_TOO_BIG})
"""Closed by uvicorn for what the peer sent: broken framing, no UTF-8, too big."""


class Connection:
    """An accepted connection. A peer that does not read is cut off when one message has waited `send_timeout_s`."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        send_timeout_s: float,
        *,
        parting_hint: str | None = None,
        texts_alone: str = "Send JSON-RPC messages as text frames.",
    ) -> None:
        """Take over the connection.

        Args:
            parting_hint: in place of the usual, what the peer reads when EXAI stops.
            texts_alone: what a peer reads that sends a binary frame.
        """
        self._receive = receive
        self._send = send
        self._protocol = protocol_of(scope)
        self._send_timeout_s = send_timeout_s
        self.reason = "client"
        """Why it ended, as `ConnectionClosed` says it."""
        self._is_over = False
        self._texts_alone = texts_alone
        if parting_hint is not None:
            self._protocol.parting_hint = parting_hint

    async def text(self) -> str | None:
        """Receive the next message; `None` when the connection has ended."""
        event = await self._receive()
        while self._is_over and event["type"] != "websocket.disconnect":
            event = await self._receive()
        if event["type"] == "websocket.disconnect":
            self._note_end(event.get("code"))
            return None
        text: str | None = event.get("text")
        if text is None:
            await self.refuse(CloseCode.UNSUPPORTED_DATA, self._texts_alone)
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
            # Then nothing waits, and a deadline would be a tenth of the cost.
            if self._protocol.writable.is_set():
                await self._send(frame)
                return
            async with asyncio.timeout(self._send_timeout_s):
                await self._send(frame)
        except TimeoutError:
            self.reason = "stuck"
            self._protocol.abort()
            raise ConnectionAbortedError("the peer did not read") from None
        except (ClientDisconnected, RuntimeError):  # uvicorn raises the latter for a send after the close
            raise ConnectionResetError("the peer is gone") from None

    def end(self, reason: EndReason) -> None:
        """Close it because its credential has ended: nothing more is taken, and what runs for it is cancelled."""
        if self._is_over:
            return
        self._is_over = True
        self.reason = reason
        if self._protocol.writable.is_set():
            self._protocol.part(CREDENTIAL_OVER, reason)
        else:  # the reason would wait behind what the peer does not read
            self._protocol.abort()

    def drop(self, code: int, reason: str) -> None:
        """Close it soon: part of a session's `Socket`."""
        self.reason = DROPPED[code]
        tasks.spawn(self.close(code, reason), name="close socket")

    def _note_end(self, code: int | None) -> None:
        if self.reason != "client":
            return
        if code == CloseCode.SERVICE_RESTART:
            self.reason = "stopping"
        elif code == CloseCode.TRY_AGAIN_LATER:
            self.reason = "overloaded"
        elif code in PEER_FAULTS:
            self.reason = "protocol"
