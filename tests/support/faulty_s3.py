"""A wire to an S3 on which one request fails: cut, never answered, or answered by an error."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

__all__ = ["ANSWERS", "FaultyWire", "faulty_wire"]

CHUNK = 65_536
ANSWERS = {
    "500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "503": b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "cut": b"",
    "cut while answering": b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n<",
}
"""What is sent before the connection is closed; another kind of fault sends nothing, and closes nothing."""


class FaultyWire:
    """Carries requests, and counts them."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.requests = 0
        self.failed = 0
        self.before_mending = 0
        """Requests, until every one passed again."""
        self._fails_at = 0
        self._how = ""
        self._stalled = asyncio.Event()
        self.endpoint = ""

    def fail(self, at: int, how: str) -> None:
        """Let one request fail, counted from now on."""
        self.requests, self.failed, self.before_mending, self._fails_at, self._how = 0, 0, 0, at, how

    def mend(self) -> None:
        """Let every request pass."""
        self.before_mending = self.before_mending or self.requests
        self._fails_at = 0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        there, back = await asyncio.open_connection(*self._target)
        answers = asyncio.create_task(_copied(there, writer), name="answers")
        try:
            while data := await reader.read(CHUNK):
                if b" HTTP/1.1\r\n" in data:
                    self.requests += 1
                    if self.requests == self._fails_at:
                        await self._refuse(writer)
                        return
                back.write(data)
                await back.drain()
        except OSError:
            pass  # either end may go at any time
        finally:
            answers.cancel()
            for each in (writer, back):
                each.close()

    async def _refuse(self, writer: asyncio.StreamWriter) -> None:
        self.failed += 1
        answer = ANSWERS.get(self._how)
        if answer is None:
            await self._stalled.wait()
        else:
            writer.write(answer)
            await writer.drain()

    def end_stalls(self) -> None:
        """Let go of connections that are not answered."""
        self._stalled.set()


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def faulty_wire(endpoint: str) -> AsyncIterator[FaultyWire]:
    """Open a wire to the S3 at an address."""
    parts = urlsplit(endpoint)
    wire = FaultyWire(str(parts.hostname), int(parts.port or 0))
    server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
    wire.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield wire
    finally:
        wire.end_stalls()
        server.close()
