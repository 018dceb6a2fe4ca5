"""A TCP proxy that breaks connections as networks do."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

__all__ = ["TcpProxy", "tcp_proxy"]

CHUNK = 65_536


class TcpProxy:
    """Carries bytes to one address until it is told to break."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.client_ports: list[int] = []
        """Where each connection came from."""
        self.carried = {"questions": 0, "answers": 0}
        """Bytes, by direction."""
        self.requests = 0
        """Of HTTP/1.1."""
        self.slice = CHUNK
        """Bytes carried at once."""
        self.delay_s = 0.0
        """How long each piece is held back."""
        self.holds: str | None = None
        """`questions` or `answers`: the bytes of that direction are swallowed, until the connection is cut."""
        self.answers_flow = asyncio.Event()
        """While it is not set, the bytes of that direction wait."""
        self.answers_flow.set()
        self.cuts_at: list[int] = []
        """Cut every connection when so many bytes of questions were carried altogether; one cut for each number."""
        self._carried = 0
        self.refuses = False
        """Whether new connections are reset at once."""
        self.refused = asyncio.Event()
        """Set once one was."""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
        self.cut()

    def cut(self) -> int:
        """Reset every connection, both ways; how many there were."""
        count = len(self._pairs)
        for pair in list(self._pairs):
            for writer in pair:
                _reset(writer)
        return count

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            self.refused.set()
            _reset(writer)
            return
        self.client_ports.append(writer.get_extra_info("peername")[1])
        try:
            there, back = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(writer)
            return
        pair = (writer, back)
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(reader, back, "questions"))
                group.create_task(self._copy(there, writer, "answers"))
        finally:
            self._pairs.discard(pair)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, what: str) -> None:
        with suppress(OSError):
            while data := await reader.read(self.slice):
                if self.holds == what:
                    continue
                self.carried[what] += len(data)
                self.requests += data.count(b" HTTP/1.1\r\n") if what == "questions" else 0
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if what == "answers":
                    await self.answers_flow.wait()
                writer.write(data)
                await writer.drain()
                if what == "questions":
                    self._carried += len(data)
                    if self.cuts_at and self._carried >= self.cuts_at[0]:
                        self.cuts_at.pop(0)
                        self.cut()
        with suppress(OSError, RuntimeError):
            writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of FIN."""
    sock: socket.socket = writer.get_extra_info("socket")
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def tcp_proxy(url: str) -> AsyncIterator[tuple[TcpProxy, str]]:
    """A proxy before the server of `url`, and the same URL through it."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    proxy = TcpProxy(parts.hostname, parts.port)
    await proxy.start()
    try:
        yield proxy, url.replace(f":{parts.port}", f":{proxy.port}")
    finally:
        await proxy.stop()
