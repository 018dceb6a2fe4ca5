"""HTTP/1.1 responses written byte by byte, so that a broken one can be written as well as a whole one."""

import socket
import struct
import time
from email.utils import formatdate
from http import HTTPStatus

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from typing_extensions import override

__all__ = ["LAST_CHUNK", "Wire", "WrittenResponse", "chunk"]

_ENDED_STATES = frozenset({7, 8})
"""TCP_CLOSE and TCP_CLOSE_WAIT, as Linux numbers them."""
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class WrittenResponse(web.StreamResponse):
    """Tells the server that the handler already wrote its response, and whether the connection goes on."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._goes_on = keep_alive

    @property
    def keep_alive(self) -> bool | None:
        return self._goes_on

    @override
    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    @override
    async def write_eof(self, data: bytes = b"") -> None:
        return None


class _Date:
    """The Date header, formatted once per second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = f"Date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._line


_date = _Date()


class Wire:
    """The way back to one client. After `reset` or `close` nothing more can be sent."""

    __slots__ = ("_request", "_transport", "further_lines", "keep_alive")

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._transport = request.transport
        self.keep_alive = request.keep_alive
        self.further_lines = ""
        """Header lines of every reply to this request, CRLF-ended."""

    @property
    def peer_port(self) -> int:
        """The client's port; 0 when it has left."""
        peer = self._transport.get_extra_info("peername") if self._transport is not None else None
        return peer[1] if isinstance(peer, tuple) else 0

    def head(self, status: int, headers: str, *, length: int | None) -> bytes:
        """A status line and headers. `headers` is CRLF-ended lines; without a length the body is chunked."""
        framing = "Transfer-Encoding: chunked\r\n" if length is None else f"Content-Length: {length}\r\n"
        if status == HTTPStatus.NO_CONTENT:
            framing = ""
        if not self.keep_alive:
            framing += "Connection: close\r\n"
        reason = _REASONS.get(status, "Unknown")
        return (
            f"HTTP/1.1 {status} {reason}\r\n{headers}{self.further_lines}{framing}".encode("latin-1")
            + _date.line()
            + b"\r\n"
        )

    @property
    def has_left(self) -> bool:
        """Whether the client closed the connection, also while nothing is read from it (where the system tells)."""
        if self._transport is None or self._transport.is_closing():
            return True
        connection = self._transport.get_extra_info("socket")
        if not hasattr(socket, "TCP_INFO"):
            return False
        try:
            return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in _ENDED_STATES
        except OSError:
            return True

    def send(self, data: bytes) -> None:
        """Put bytes on the way. Raises ConnectionResetError when the client has left."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("The client has left.")
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has read enough for more to be sent."""
        await self._request.writer.drain()

    def reset(self) -> None:
        """End the connection with RST."""
        self.keep_alive = False
        if self._transport is not None:
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    def close(self) -> None:
        """End the connection with FIN after what was sent."""
        self.keep_alive = False
        if self._transport is not None:
            self._transport.close()


def chunk(data: bytes) -> bytes:
    """`data` as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
