"""uvicorn's WebSocket protocol with the bounds that it lacks: fragments, peers that do not read, ends that linger.

The ASGI application reaches its connection's protocol by `protocol_of(scope)`: to drop a peer at once, and to close
with a reason without waiting for what the peer has not read.
"""

import asyncio
from contextlib import suppress

from starlette.types import Scope
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request
from websockets.protocol import State

from exai.runtime.bytes_in_flight import Share
from exai.web.bodies import UNCOUNTED_BYTES

__all__ = ["AbortableWebSocket", "protocol_of"]

EXTENSION = "exai.protocol"
"""Where a connection's scope has its protocol, in `extensions`."""
MAX_FRAGMENTS = 10_000
"""Of one message. The size of a message does not bound them: they may be empty."""
PARTING_S = 1.0
"""How long a peer that answers no ping may take to read why it is closed."""
LINGER_S = 10.0
"""The same for any other connection that has ended."""
MOST_REASON = 123
"""Bytes of the reason in a close frame (RFC 6455, 5.5)."""
RECONNECT_HINT = "EXAI is stopping. Connect again in a few seconds."


class AbortableWebSocket(WebSocketsSansIOProtocol):
    """One connection, which can be dropped although its peer does not read.

    An orderly close waits until what was written has been read, which such a peer never does.
    """

    incoming: Share | None = None
    """Counts what is held of a message that is not complete; `None` until its caller is known."""
    _fragment_bytes = 0
    _linger: asyncio.TimerHandle | None = None
    parting_hint = RECONNECT_HINT
    """What the peer reads when EXAI stops."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["extensions"][EXTENSION] = {"protocol": self}

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.transport.is_closing():
            # A head with too many or too long lines has been answered by now, but uvicorn writes nothing of it.
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()
        elif (share := self.incoming) is not None and (share.size or self.frames or self.conn.reader.buffer):
            self._count_incoming(share)

    def _count_incoming(self, share: Share) -> None:
        """Count the begun message; close the connection where it is more than may be held."""
        if self.close_sent:
            return
        fragments = self._fragment_bytes if len(self.frames) > 1 else sum(map(len, self.frames))
        size = len(self.conn.reader.buffer) + fragments
        if (why := share.resize(max(0, size - UNCOUNTED_BYTES))) is None:
            return
        self.frames = []
        share.release()
        self.conn.fail(CloseCode.TRY_AGAIN_LATER, f"EXAI is busy: {why}."[:MOST_REASON])
        self.handle_parser_exception()

    def abort(self) -> None:
        """Drop the peer now, whatever it has not read."""
        self.transport.abort()

    def note_refused(self) -> None:
        """Mark the handshake done: it was answered with an HTTP error, which uvicorn would log as left undone."""
        self.handshake_complete = True

    def shutdown(self) -> None:
        """Close with 1012 and what to do next; uvicorn's own close frame gives no reason."""
        self.part(CloseCode.SERVICE_RESTART, self.parting_hint)
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
        if len(self.frames) == 1:
            self._fragment_bytes = len(self.frames[0])
        self._fragment_bytes += len(event.data)
        super().handle_cont(event)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.loop.call_later(PARTING_S, self.transport.abort)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        # The scope knows this object: left so, only a full collection of garbage would free either.
        self.scope["extensions"].pop(EXTENSION, None)
        if not self.disconnected:
            self._linger = self.loop.call_later(LINGER_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._linger is not None:
            self._linger.cancel()
        if self.incoming is not None:
            self.incoming.release()
        # Ends its parser, which holds it, as would the error that says why it ended.
        with suppress(EOFError):
            self.conn.receive_eof()
        self.conn.parser_exc = None


def protocol_of(scope: Scope) -> AbortableWebSocket:
    """Return the protocol under an ASGI connection."""
    protocol: AbortableWebSocket = scope["extensions"][EXTENSION]["protocol"]
    return protocol
