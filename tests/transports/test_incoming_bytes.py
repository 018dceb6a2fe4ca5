"""Messages and bodies that are not complete are counted by caller, over every door, and cut beyond the bound."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

from websockets.frames import CloseCode

from exai.events.events import ConnectionClosed as Closed
from exai.web.bodies import UNCOUNTED_BYTES
from support.mcp_websocket import mcp_socket
from support.open_doors import Doors, open_doors
from support.waiting import wait_until

LONG = UNCOUNTED_BYTES + 40_000
"""Of which 40,000 bytes are counted."""
LIMITS = {"caller_bytes": 60_000, "global_bytes": 100_000}

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connection(doors: Doors) -> AsyncIterator[Streams]:
    where = urlsplit(doors.http)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def half_a_body(streams: Streams, token: str, size: int = LONG) -> None:
    _, writer = streams
    writer.write(
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Accept: application/json, text/event-stream\r\n"
        + f"Authorization: Bearer {token}\r\nContent-Length: {size + 1}\r\n\r\n".encode()
        + b" " * size
    )
    await writer.drain()


async def begin_socket(streams: Streams, token: str) -> None:
    reader, writer = streams
    writer.write(
        b"GET /mcp HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        + f"Authorization: Bearer {token}\r\n\r\n".encode()
    )
    assert b"101" in (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0]


def frame(opcode: int, content: bytes, declared: int | None = None, *, fin: bool = True) -> bytes:
    size = len(content) if declared is None else declared
    return bytes([opcode | (0x80 if fin else 0), 0xFF]) + struct.pack("!Q", size) + bytes(4) + content


async def close_code(reader: asyncio.StreamReader) -> int:
    async with asyncio.timeout(30):
        opcode, length = await reader.readexactly(2)
        assert opcode == 0x88
        return int.from_bytes((await reader.readexactly(length))[:2])


async def test_half_bodies_are_refused_beyond_the_bound_and_others_are_served() -> None:
    async with open_doors(admission=LIMITS) as doors, AsyncExitStack() as open_:
        alice, bob = "alice", "bob"
        for name in (alice, bob):
            doors.authenticator.issue(name, name)
        incoming = doors.incoming
        first, second = [await open_.enter_async_context(connection(doors)) for _ in range(2)]
        await half_a_body(first, alice)
        await wait_until(lambda: incoming.total == LONG - UNCOUNTED_BYTES, what="the first is counted")
        await half_a_body(second, alice)
        async with asyncio.timeout(30):
            status = await second[0].readline()
            answer = await second[0].read(4_000)
        assert status.split()[1] == b"503"
        assert b"admission.caller_bytes" in answer
        third = await open_.enter_async_context(connection(doors))
        await half_a_body(third, bob)
        await wait_until(lambda: incoming.total == 2 * 40_000, what="the other caller's is counted")
        async with mcp_socket(doors.ws, headers={"Authorization": f"Bearer {alice}"}) as client:
            assert "result" in await client.request("ping"), "a short message is taken"
        first[1].transport.abort()
        third[1].transport.abort()
        await wait_until(lambda: incoming.total == 0, what="nothing is counted any more")


async def test_half_received_frames_and_fragments_are_cut_beyond_the_bound() -> None:
    async with open_doors(admission=LIMITS) as doors, AsyncExitStack() as open_:
        alice = "alice"
        doors.authenticator.issue(alice, alice)
        incoming = doors.incoming
        first, second, third = [await open_.enter_async_context(connection(doors)) for _ in range(3)]
        for streams in (first, second, third):
            await begin_socket(streams, alice)
        first[1].write(frame(0x1, b" " * LONG, declared=LONG + 1))
        await wait_until(lambda: incoming.total == 40_000, what="a frame is counted as it comes")
        second[1].write(frame(0x1, b" " * LONG, fin=False))
        assert await close_code(second[0]) == CloseCode.TRY_AGAIN_LATER
        assert incoming.total == 40_000
        first[1].write(b" ")
        await wait_until(lambda: incoming.total == 0, what="a whole message is counted no more")
        third[1].write(frame(0x1, b" " * (LONG // 2), fin=False) + frame(0x0, b" " * (LONG // 2), fin=False))
        await wait_until(lambda: incoming.total == 40_000, what="fragments are counted together")
        third[1].transport.abort()
        await wait_until(lambda: incoming.total == 0, what="a lost connection holds nothing")
        assert "overloaded" in {event.reason for event in doors.events if isinstance(event, Closed)}
