"""The answer to one request over HTTP: JSON where it comes soon and alone, else a stream of events.

    state      event                                   next       what is written
    silent     the answer                              over       the answer as JSON
    silent     a message before it                     streaming  the head of a stream, and the message
    silent     `STREAM_AFTER_S` have passed            streaming  the head of a stream
    streaming  a message, or the answer                           an event; the stream ends behind the answer
    streaming  `KEPT_OPEN_S` have passed                          a comment

So a client, and each proxy in between, sees that a long call is under way, and cuts none off.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import Send

from exai.protocol.jsonrpc import Message, encode
from exai.runtime import tasks
from exai.transports.asked_requests import AskedRequests

__all__ = ["PlainAnswer"]

STREAM_AFTER_S = 0.5
KEPT_OPEN_S = 15.0
_KEEP_OPEN = b": under way\r\n\r\n"


class PlainAnswer:
    """Writes it; the peer of a plain call."""

    def __init__(
        self, send: Send, session_id: bytes, asked: AskedRequests, settle: Callable[[], None]
    ) -> None:
        """`settle` is called before the last byte leaves, as the client may begin its next request then."""
        self._send = send
        self._session = (b"mcp-session-id", session_id)
        self._asked = asked
        self._settle = settle
        self._is_streaming = False
        self.is_over = False
        self._writing = asyncio.Lock()
        """For a stream, to which the call and the clock write."""
        self._keeping: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(STREAM_AFTER_S, self._begin_soon)

    async def notify(self, method: str, params: Mapping[str, Any] | None) -> None:
        """Send a notification in the stream."""
        message: Message = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message["params"] = params
        await self._tell(message)

    async def send_raw_request(self, method: str, params: Mapping[str, Any] | None) -> dict[str, Any]:
        """Send a request in the stream; its response comes by a request of the same session.

        Raises:
            MCPError: the client answered with an error, or has gone.
        """
        return await self._asked.ask(self._tell, self._tell, method, params)

    async def finish(self, message: Message, *, status: int = 200) -> None:
        """Send the answer, or in place of one that has not begun a refusal with another status."""
        await self._write_last(encode(message).encode(), status, ())

    async def refuse(self, body: bytes, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """End with a refusal: as the whole answer, or as the last event of a stream that has begun."""
        await self._write_last(body, status, headers)

    async def end(self, message: Message, *, status: int) -> None:
        """End without an answer: a stream as it is, and what has not begun with a message of this status."""
        await self._write_last(encode(message).encode() if not self._is_streaming else b"", status, ())

    def close(self) -> None:
        """Stop the clock; to be called in any case."""
        self._timer.cancel()
        if self._keeping is not None:
            self._keeping.cancel()

    async def _tell(self, message: Message) -> None:
        async with self._writing:
            if not self.is_over:
                await self._begin()
                await self._send_piece(_event(encode(message).encode()))

    async def _write_last(
        self, body: bytes, status: int, headers: list[tuple[bytes, bytes]] | tuple[()]
    ) -> None:
        if not self._is_streaming:
            self.is_over = True
            self._settle()
            length = (b"content-length", str(len(body)).encode())
            kind = (b"content-type", b"application/json")
            start = [length, kind, self._session, *headers]
            await self._send({"type": "http.response.start", "status": status, "headers": start})
            await self._send({"type": "http.response.body", "body": body})
            return
        async with self._writing:
            self.is_over = True
            self._settle()
            await self._send({"type": "http.response.body", "body": _event(body) if body else b""})

    def _begin_soon(self) -> None:
        if not self.is_over:
            self._keeping = tasks.spawn(self._keep_open(), name="mcp stream")

    async def _keep_open(self) -> None:
        async with self._writing:
            if not self.is_over:
                await self._begin()
        while not self.is_over:
            await asyncio.sleep(KEPT_OPEN_S)
            async with self._writing:
                if not self.is_over:
                    await self._send_piece(_KEEP_OPEN)

    async def _begin(self) -> None:
        if self._is_streaming:
            return
        self._is_streaming = True
        headers = [
            (b"content-type", b"text/event-stream"),
            (b"cache-control", b"no-cache, no-transform"),
            (b"x-accel-buffering", b"no"),
            self._session,
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send_piece(b"")

    async def _send_piece(self, piece: bytes) -> None:
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})


def _event(data: bytes) -> bytes:
    return b"event: message\r\ndata: " + data + b"\r\n\r\n"
