"""Resumable sessions with next to nothing on the client's side, so that thousands fit beside what is measured."""

import asyncio
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.calls import first_line, process

__all__ = ["RawSession", "connect_raw", "daemon"]

HANDSHAKE = (
    "GET /mcp HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: exai.mcp.v1\r\n\r\n"
)
TEXT, PING, PONG = 0x81, 0x89, 0x8A
ANSWER_S = 60


class RawSession(asyncio.Protocol):
    """One WebSocket; text frames in and out, pings answered."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.is_open = True
        self._buffer = b""
        self._shaken = False
        self._texts: asyncio.Queue[bytes] = asyncio.Queue()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(HANDSHAKE.encode())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.is_open = False
        self._texts.put_nowait(b"")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._shaken:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._shaken, self._buffer = True, rest
            self._texts.put_nowait(b"101")
        while len(self._buffer) >= 2:
            start, length = 2, self._buffer[1]
            if length >= 126:
                start = 4 if length == 126 else 10
                length = int.from_bytes(self._buffer[2:start], "big")
            if len(self._buffer) < start + length:
                return
            kind, payload = self._buffer[0], self._buffer[start : start + length]
            self._buffer = self._buffer[start + length :]
            if kind == PING:
                self._write(PONG, payload)
            elif kind == TEXT:
                self._texts.put_nowait(payload)

    def _write(self, kind: int, payload: bytes) -> None:
        size = len(payload)
        head = bytes([kind, 0x80 | size]) if size < 126 else bytes([kind, 0xFE]) + size.to_bytes(2, "big")
        if self.transport is not None:
            self.transport.write(head + bytes(4) + payload)

    def send(self, frame: dict[str, Any]) -> None:
        """Write one frame."""
        self._write(TEXT, json.dumps(frame).encode())

    async def receive(self) -> dict[str, Any]:
        """The next frame."""
        async with asyncio.timeout(ANSWER_S):
            text = await self._texts.get()
        if not text:
            raise ConnectionResetError("the daemon closed")
        return dict(json.loads(text)) if text != b"101" else {"t": "101"}

    async def message(self) -> dict[str, Any]:
        """The next frame with a message."""
        while (frame := await self.receive())["t"] != "m":
            pass
        return frame


async def connect_raw(url: str) -> RawSession:
    """A socket that has said nothing."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    _, session = await asyncio.get_running_loop().create_connection(RawSession, parts.hostname, parts.port)
    await session.receive()
    return session


@contextmanager
def daemon(folder: str, **environ: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """`exai serve` on one core, with as many descriptors as the machine allows; the process and its addresses."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    settings = {
        **os.environ,
        "GLM_API_KEY": "benchmark-id.benchmark-secret",
        "EXAI_DATA_DIR": folder,
        "EXAI_SERVER__PORT": "0",
        "EXAI_GUARDS__REPEATS": "0",
        "EXAI_SERVER__OPERATIONS_PORT": "0",
        "EXAI_SERVER__ERRORS_PORT": "0",
        "EXAI_LOGGING__LEVEL": "error",
        **environ,
    }
    command = [str(Path(sys.executable).parent / "exai"), "serve", "--ready-json"]
    with process(command, core=0, env=settings, stderr=subprocess.DEVNULL) as running:
        yield running, json.loads(first_line(running))
