"""uvicorn's HTTP with the bounds that it lacks: a head that is large or does not come, a peer that does not read,
connections on which no request is authenticated.

A WebSocket begins as an HTTP request, so its handshake has the first bound as well.
"""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from exai.web.unauthenticated import STATE_KEY, UnauthenticatedConnection, UnauthenticatedConnections

__all__ = ["MAX_HEAD_BYTES", "bounded"]

MAX_HEAD_BYTES = 16 * 1024
"""Of a request's head; a token may have half of it."""
HEAD_PIECE_BYTES = 4 * 1024
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def bounded(
    head_timeout_s: float, send_timeout_s: float, unauthenticated: UnauthenticatedConnections
) -> type[H11Protocol]:
    """The protocol class with these bounds; uvicorn makes its own instances, without arguments of ours."""
    return type(
        "BoundedHttp",
        (_BoundedHttp,),
        {"head_s": head_timeout_s, "send_s": send_timeout_s, "unauthenticated": unauthenticated},
    )


class _BoundedHttp(H11Protocol):
    head_s: float
    send_s: float
    unauthenticated: UnauthenticatedConnections
    _unauthenticated: UnauthenticatedConnection
    _head_timer: asyncio.TimerHandle | None = None
    _send_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        descriptor = transport.get_extra_info("socket").fileno()
        self._unauthenticated = self.unauthenticated.add(descriptor, self._end_unheard)
        self.app_state = {**self.app_state, STATE_KEY: self._unauthenticated}
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unauthenticated.leave()
        self._note_head()
        self._note_room()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # h11 looks at the size of a head only while it is not complete, and one read may bring all of it.
        while self.conn.their_state is h11.IDLE and len(data) > HEAD_PIECE_BYTES:
            super().data_received(data[:HEAD_PIECE_BYTES])
            data = data[HEAD_PIECE_BYTES:]
            if self.transport.is_closing() or self.transport.get_protocol() is not self:
                return
        super().data_received(data)
        # Once a request is answered, what still comes of its body does not count: only the next request does.
        if self.conn.their_state is not h11.IDLE and self.conn.our_state is not h11.DONE:
            self._note_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unauthenticated.note_answered()
        if not self.transport.is_closing():
            self._expect_head()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._unauthenticated.leave()  # its request is authenticated or refused at once
        super().handle_websocket_upgrade(event)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._send_timer is None:
            self._send_timer = self.loop.call_later(self.send_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._note_room()

    def _expect_head(self) -> None:
        self._note_head()
        self._head_timer = self.loop.call_later(self.head_s, self._end_unheard)

    def _end_unheard(self) -> None:
        if not self.transport.is_closing():
            if self.conn.their_state is h11.IDLE:
                self.transport.write(TIMED_OUT)
            self.transport.close()

    def _note_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _note_room(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None
