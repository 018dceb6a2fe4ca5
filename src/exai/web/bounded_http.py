"""uvicorn's HTTP with the bounds that it lacks: a head that is large or does not come, a peer that does not read, what
still comes of a body once its request is answered, connections on which no request has been authenticated.

A request may be answered before its body has come, because it is refused by its head or its body is too large. What
still comes is read and thrown away, so that the connection is good for the next request: at most `MOST_DISCARDED`
bytes, and for as long as a head may take. After that nothing more is read. The connection is not closed at once, as
its peer would lose the answer that it has not read yet, but when that time is over.

A WebSocket begins as an HTTP request, so its handshake has the bounds of a head as well.
"""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from exai.web.unauthenticated import STATE_KEY, UnauthenticatedConnection, UnauthenticatedConnections

__all__ = ["MAX_HEAD_BYTES", "bounded"]

MAX_HEAD_BYTES = 16 * 1024
"""Of a request's head; a token may have half of it."""
MOST_DISCARDED = 16 * 2**20
"""Read of a body after its request was answered; a little more where it comes in one piece. More than the buffers of
both systems take: a client that has handed all of a body to its system takes the connection for good, and uses it."""
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def bounded(
    head_timeout_s: float, send_timeout_s: float, unauthenticated: UnauthenticatedConnections
) -> type[H11Protocol]:
    """Make the protocol class with these bounds; uvicorn makes its own instances, without arguments of ours."""
    return type(
        "BoundedHttp",
        (_BoundedHttp,),
        {"head_s": head_timeout_s, "send_s": send_timeout_s, "unauthenticated": unauthenticated},
    )


class _StrictConnection(h11.Connection):
    """h11 as strict as it should be about heads; what it raises is answered 400, and the connection is closed."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next event of the peer.

        Raises:
            RemoteProtocolError: its head is too large, though it may have come at once, which h11 does not count; or it
                says twice how long its body is, so that whoever passed it on may have taken the rest of it for another
                request (RFC 9112, 6.1).
        """
        had = len(self.trailing_data[0]) if self.their_state is h11.IDLE else 0
        event = super().next_event()
        if isinstance(event, h11.Request):
            if had - len(self.trailing_data[0]) > MAX_HEAD_BYTES:
                raise h11.RemoteProtocolError("the head is too large", error_status_hint=431)
            if _is_framed_twice(event):
                raise h11.RemoteProtocolError("Transfer-Encoding beside Content-Length, or in HTTP/1.0")
        return event


def _is_framed_twice(request: h11.Request) -> bool:
    names = {name for name, _ in request.headers}
    return b"transfer-encoding" in names and (b"content-length" in names or request.http_version < b"1.1")


class _BoundedHttp(H11Protocol):
    head_s: float
    send_s: float
    unauthenticated: UnauthenticatedConnections
    _unauthenticated: UnauthenticatedConnection
    _head_timer: asyncio.TimerHandle | None = None
    _send_timer: asyncio.TimerHandle | None = None
    _discarded = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.conn = _StrictConnection(h11.SERVER, MAX_HEAD_BYTES)
        descriptor = transport.get_extra_info("socket").fileno()
        self._unauthenticated = self.unauthenticated.add(descriptor, self._close_waiting)
        self.app_state = {**self.app_state, STATE_KEY: self._unauthenticated}
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unauthenticated.leave()
        self._stop_head_timer()
        self._stop_send_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_answered_early():
            self._discard(len(data))
        elif self.conn.their_state is not h11.IDLE and self.conn.our_state is not h11.DONE:
            self._stop_head_timer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unauthenticated.note_answered()
        self._discarded = 0
        if not self.transport.is_closing():
            self._expect_head()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP. A request that is under way ends with its connection, and its handler learns that."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(msg)
        else:
            self.transport.close()  # an answer has begun, and there can be no second one
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._unauthenticated.leave()  # its request is authenticated or refused at once
        super().handle_websocket_upgrade(event)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._send_timer is None:
            self._send_timer = self.loop.call_later(self.send_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_send_timer()

    def _is_answered_early(self) -> bool:
        return self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY

    def _discard(self, received: int) -> None:
        self._discarded += received
        if self._discarded > MOST_DISCARDED:
            self.flow.pause_reading()

    def _expect_head(self) -> None:
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(self.head_s, self._close_waiting)

    def _close_waiting(self) -> None:
        """Close a connection that sends no head, or whose request was answered before its body had come."""
        if not self.transport.is_closing():
            if self.conn.their_state is h11.IDLE:
                self.transport.write(TIMED_OUT)
            self.transport.close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_send_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None
