"""A provider that costs next to nothing: OpenAI-compatible answers from fixed bytes.

The bundled emulator checks every request and so costs more than the daemon that is
to be measured; this stand-in leaves the second core to the load generator. It knows
one path and three answers: a short one; a stream of `TOKENS` tokens, one write each,
when the prompt says STREAM; and when it says CLOCK, a thoughtful one each of whose
tokens is the machine's monotonic clock, in nanoseconds, at the moment of its writing.
"""

import asyncio
import sys
import time
from typing import cast

import uvloop

TOKENS = 200
INTERVAL_S = 0.002

CLOCK_TOKENS = 10
"""Tokens of thinking, and as many of text, of a CLOCK answer."""

CLOCK_INTERVAL_S = 0.011

_SHORT_EVENTS = [
    b'data: {"id":"b1","object":"chat.completion.chunk","created":1,"model":"glm-5.3",'
    b'"choices":[{"index":0,"delta":{"role":"assistant","content":"%s"},"finish_reason":null}]}\n\n' % piece
    for piece in (b"A short ", b"answer.")
]
_END_EVENTS = (
    b'data: {"id":"b1","object":"chat.completion.chunk","created":1,"model":"glm-5.3",'
    b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":40,"completion_tokens":5,"total_tokens":45,'
    b'"prompt_tokens_details":{"cached_tokens":0}}}\n\n'
    b"data: [DONE]\n\n"
)
_TOKEN_EVENT = (
    b'data: {"id":"b1","object":"chat.completion.chunk","created":1,"model":"glm-5.3",'
    b'"choices":[{"index":0,"delta":{"content":"token "},"finish_reason":null}]}\n\n'
)
_CLOCK_EVENT = (
    b'data: {"id":"b1","object":"chat.completion.chunk","created":1,"model":"glm-5.3",'
    b'"choices":[{"index":0,"delta":{"%s":"%s "},"finish_reason":null}]}\n\n'
)
_PLAIN = (
    b'{"id":"b1","object":"chat.completion","created":1,"model":"glm-5.3","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"A short answer."},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":40,"completion_tokens":5,"total_tokens":45}}'
)
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_SHORT_STREAM = _STREAM_HEAD + _chunk(b"".join(_SHORT_EVENTS) + _END_EVENTS) + b"0\r\n\r\n"
_SHORT_PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(_PLAIN),
    _PLAIN,
)


class _Upstream(asyncio.Protocol):
    """One keep-alive connection; requests come one after another, as HTTP/1.1 clients send them."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self._buffer[:head_end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        total = head_end + 4 + length
        if len(self._buffer) < total:
            return
        body, self._buffer = self._buffer[head_end + 4 : total], self._buffer[total:]
        if b"CLOCK" in body:
            self._transport.write(_STREAM_HEAD)
            asyncio.get_running_loop().call_later(CLOCK_INTERVAL_S, self._clock, 0)
        elif b"STREAM" in body:
            self._transport.write(_STREAM_HEAD)
            self._token(TOKENS)
        else:
            self._transport.write(_SHORT_STREAM if b'"stream":true' in body else _SHORT_PLAIN)

    def _token(self, left: int) -> None:
        if self._transport.is_closing():
            return
        if left:
            self._transport.write(_chunk(_TOKEN_EVENT))
            asyncio.get_running_loop().call_later(INTERVAL_S, self._token, left - 1)
        else:
            self._transport.write(_chunk(_END_EVENTS) + b"0\r\n\r\n")

    def _clock(self, sent: int) -> None:
        if self._transport.is_closing():
            return
        if sent == 2 * CLOCK_TOKENS:
            self._transport.write(_chunk(_END_EVENTS) + b"0\r\n\r\n")
            return
        field = b"reasoning_content" if sent < CLOCK_TOKENS else b"content"
        self._transport.write(_chunk(_CLOCK_EVENT % (field, b"%d" % time.monotonic_ns())))
        asyncio.get_running_loop().call_later(CLOCK_INTERVAL_S, self._clock, sent + 1)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Upstream, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
