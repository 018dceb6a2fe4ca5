"""A body whose chunks cannot be read fails at once, however its bytes arrive."""

import asyncio

import aiohttp
import pytest

from exai import config
from exai.providers.wire.connections import Attempt, open_session
from exai.runtime.clock import SystemClock

BEGIN = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
)
GUARD_S = 30.0
"""Far above what it takes, far below the silence that an answer may have."""


async def test_malformed_chunk_while_the_body_is_read() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(BEGIN)
        await is_read.wait()
        writer.write(b"zz\r\n")
        await reader.read()
        writer.close()

    is_read = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, open_session({}, config.Timeouts(), SystemClock()) as session:
        with Attempt():
            async with session.get(url) as response:
                assert await response.content.readany() == b"hello"
                is_read.set()
                with pytest.raises(aiohttp.ClientPayloadError):
                    await asyncio.wait_for(response.content.readany(), GUARD_S)
