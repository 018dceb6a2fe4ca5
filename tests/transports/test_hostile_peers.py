"""Peers that dawdle, stall or flood before or beside the protocol: each is bounded, and another client goes on."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest

from exai.web import unauthenticated
from exai.web.bodies import SLACK_S
from exai.web.bounded_http import MAX_HEAD_BYTES
from support.mcp_websocket import McpSocket, mcp_socket
from support.open_doors import Doors, open_doors
from support.session_socket import ENVELOPE, session_socket
from support.virtual_time import now

LARGE = 64_000_000
"""Characters that no buffers between two sockets hold."""
UPGRADE = (
    "GET /mcp HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
)
POST = (
    "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    "Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n"
    "Mcp-Method: tools/call\r\nMcp-Name: {tool}\r\nContent-Length: {length}\r\n\r\n"
)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def raw(doors: Doors, *, limit: int = 2**16) -> AsyncIterator[Streams]:
    """A TCP connection to the MCP port."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(doors.ws).port, limit=limit)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def received(reader: asyncio.StreamReader) -> bytes:
    """Everything up to the end, also if that is a reset: what came before it counts."""
    pieces = []
    with suppress(ConnectionResetError):
        while piece := await reader.read(2**16):
            pieces.append(piece)
    return b"".join(pieces)


async def goes_on(other: McpSocket) -> None:
    async with asyncio.timeout(30):
        assert not (await other.tool("echo"))["isError"]


@pytest.mark.virtual_time
@pytest.mark.parametrize("request_", [UPGRADE.format(more=""), POST.format(tool="echo", length=2)])
async def test_a_head_that_trickles_is_closed(request_: str) -> None:
    async with open_doors(server={"head_timeout_s": 10}) as doors, mcp_socket(doors.ws) as other:
        async with raw(doors) as (reader, writer):
            began = now()
            answer = asyncio.ensure_future(reader.read())
            for byte in request_.encode():
                if answer.done():
                    break
                writer.write(bytes([byte]))
                await asyncio.sleep(0.75)
            assert (await answer).startswith(b"HTTP/1.1 408")
            assert 10 <= now() - began < 11
        await goes_on(other)


@pytest.mark.virtual_time
async def test_a_second_request_on_the_same_connection_has_the_same_bound() -> None:
    async with open_doors(server={"head_timeout_s": 10}) as doors, raw(doors) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(2)
        writer.write(b"GET / HT")
        assert b"408" in await reader.read()
        assert 10 <= now() < 11


@pytest.mark.virtual_time
async def test_a_body_that_trickles_is_refused_with_408() -> None:
    async with open_doors() as doors, mcp_socket(doors.ws) as other:
        async with raw(doors) as (reader, writer):
            began = now()
            writer.write(POST.format(tool="echo", length=100_000).encode())
            answer = asyncio.ensure_future(reader.readuntil(b"too slowly"))
            while not answer.done():
                writer.write(b" ")
                await asyncio.sleep(0.75)
            assert (await answer).startswith(b"HTTP/1.1 408")
            assert SLACK_S <= now() - began < SLACK_S + 1
        await goes_on(other)


@pytest.mark.virtual_time
async def test_a_body_that_comes_in_good_time_may_take_longer_than_a_slow_one() -> None:
    async with open_doors() as doors, raw(doors) as (reader, writer):
        params = {"name": "echo", "arguments": {"text": "x" * 60_000}, "_meta": ENVELOPE}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
        writer.write(POST.format(tool="echo", length=len(body)).encode())
        began = now()
        for start in range(0, len(body), 5_000):
            writer.write(body[start : start + 5_000])
            await asyncio.sleep(1)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        assert now() - began > 2 * SLACK_S


@pytest.mark.virtual_time
async def test_an_http_client_that_does_not_read_its_answer_is_dropped() -> None:
    async with open_doors(websocket={"send_timeout_s": 20}) as doors, mcp_socket(doors.ws) as other:
        async with raw(doors, limit=1024) as (reader, writer):
            params = {"name": "big", "arguments": {"characters": LARGE}, "_meta": ENVELOPE}
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
            writer.write(POST.format(tool="big", length=len(body)).encode() + body)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            await goes_on(other)
            await asyncio.sleep(30)
            assert len(await received(reader)) < LARGE
        await goes_on(other)


@pytest.mark.parametrize("piece", [b"", b"x"])
async def test_a_message_in_endless_fragments_is_refused(doors: Doors, piece: bytes) -> None:
    async with mcp_socket(doors.ws) as other, raw(doors) as (reader, writer), asyncio.timeout(60):
        writer.write(UPGRADE.format(more="").encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(bytes([0x01, 0x81, 0, 0, 0, 0]) + b"{")
        fragment = bytes([0x00, 0x80 | len(piece), 0, 0, 0, 0]) + piece
        answer = asyncio.ensure_future(received(reader))
        with suppress(ConnectionResetError):
            for _ in range(1_000):
                if answer.done():
                    break
                writer.write(fragment * 1_000)
                await writer.drain()
        closing = await answer
        assert int.from_bytes(closing[2:4], "big") == 1009
        await goes_on(other)


@pytest.mark.parametrize("depth", [65, 5_000, 200_000])
async def test_a_deep_message_inside_a_session_is_refused_and_others_go_on(doors: Doors, depth: int) -> None:
    async with mcp_socket(doors.ws) as other, session_socket(doors.ws) as client:
        await client.open()
        deep = "[" * depth + "]" * depth
        await client.send(
            '{"t":"m","s":1,"a":0,"m":{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":' + deep + "}}}"
        )
        if depth < 500:
            assert (await client.message())[1]["error"]["code"] == -32600
        else:
            frame = await client.receive_or_close()
            assert frame == 1008 or frame["m"]["error"]["code"] == -32600
        await goes_on(other)


async def test_guesses_at_a_session_are_refused_alike_and_its_owner_goes_on(doors: Doors) -> None:
    async with session_socket(doors.ws) as owner:
        opened = await owner.open()
        async with session_socket(doors.ws) as thief:
            refusals = []
            for number in range(200):
                secret = opened["secret"][:-1] + chr(ord("A") + number % 26) if number else ""
                if secret == opened["secret"]:
                    continue
                refusals.append(await thief.resume({**opened, "secret": secret}, last=0))
            assert {json.dumps(refusal) for refusal in refusals} == {json.dumps(refusals[0])}
            assert refusals[0]["code"] == "unknown_session"
        await owner.call(1, "echo")
        assert (await owner.message())[0] == 1


async def test_an_acknowledgement_from_the_future_closes_its_socket_alone(doors: Doors) -> None:
    async with mcp_socket(doors.ws) as other, session_socket(doors.ws) as liar:
        opened = await liar.open()
        await liar.send({"t": "a", "a": 2**53})
        assert await liar.close_code() == 1008
        async with session_socket(doors.ws) as again:
            await again.send(
                {
                    "t": "resume",
                    "session": opened["session"],
                    "secret": opened["secret"],
                    "last": 7,
                    "credit": 1,
                }
            )
            assert await again.close_code() == 1008
        async with session_socket(doors.ws) as honest:
            assert (await honest.resume(opened, last=0))["t"] == "resumed"
        await goes_on(other)


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    "head", [UPGRADE, POST.format(tool="echo", length=2).removesuffix("\r\n") + "{more}\r\n"]
)
@pytest.mark.parametrize(
    "more",
    ["Authorization: Bearer " + "x" * 60_000 + "\r\n", "".join(f"X-{n}: y\r\n" for n in range(5_000))],
    ids=["a long line", "many lines"],
)
async def test_a_head_that_is_too_large_is_refused_at_once(doors: Doors, head: str, more: str) -> None:
    async with mcp_socket(doors.ws) as other, raw(doors) as (reader, writer):
        writer.write(head.format(more=more).encode())
        assert (await received(reader)).split()[1] in {b"400", b"431"}
        assert now() < 1
        await goes_on(other)


def head_of(size: int) -> bytes:
    """A good head of so many bytes."""
    begun, line = b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X-Filler: %s\r\n"
    while size - len(begun) > 2 * 4_000:
        begun += line % (b"x" * 4_000)
    return begun + line % (b"x" * (size - len(begun) - len(line % b"") - 2)) + b"\r\n"


@pytest.mark.parametrize("piece", [1_000, 4_096, 16_384, 100_000])
async def test_the_bound_of_a_head_is_exact_however_it_comes(doors: Doors, piece: int) -> None:
    for size, is_taken in ((MAX_HEAD_BYTES, True), (MAX_HEAD_BYTES + 1, False)):
        for earlier in (b"", head_of(200)):
            async with raw(doors) as (reader, writer):
                sent = earlier + head_of(size)
                for start in range(0, len(sent), piece):
                    writer.write(sent[start : start + piece])
                    await writer.drain()
                    await asyncio.sleep(0)
                if earlier:
                    await answer_of(reader, b"200")
                if is_taken:
                    await answer_of(reader, b"200")
                else:
                    assert (await received(reader)).split()[1] == b"400"


@pytest.mark.parametrize(
    "framing",
    [
        "HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
        "HTTP/1.1\r\nContent-Length: 100\r\ntransfer-encoding: Chunked",
        "HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked",
    ],
)
@pytest.mark.parametrize("path", ["/mcp", "/nothing"])
async def test_a_body_whose_length_is_said_twice_is_refused_and_nothing_behind_it_is_read(
    doors: Doors, framing: str, path: str
) -> None:
    smuggled = POST.format(tool="echo", length=2).encode() + b"{}"
    request, _, headers = f"POST {path} {framing}".partition("\r\n")
    head = (
        f"{request}\r\nHost: localhost\r\nAccept: */*\r\nContent-Type: application/json\r\n{headers}\r\n\r\n"
    )
    async with raw(doors) as (reader, writer):
        writer.write(head.encode() + b"0\r\n\r\n" + smuggled)
        answer = await received(reader)
    assert answer.split()[1] == b"400"
    assert b"connection: close" in answer.lower()
    assert answer.count(b"HTTP/1.1 ") == 1
    assert doors.engine.callers == []


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    "request_",
    [
        "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n",
        "PUT /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_a_body_that_goes_on_after_the_answer_is_not_waited_for(request_: str) -> None:
    async with open_doors(server={"head_timeout_s": 10}) as doors, raw(doors) as (reader, writer):
        began = now()
        writer.write(request_.encode())
        assert (await reader.readline()).split()[1] in {b"200", b"405"}
        answer = asyncio.ensure_future(received(reader))
        while not answer.done():
            writer.write(b"1\r\nx\r\n")
            await asyncio.sleep(0.75)
        assert now() - began < 12


async def test_connections_without_a_caller_are_closed_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unauthenticated, "MOST", 20)
    greeting = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    no_call = POST.format(tool="echo", length=2).encode() + b"{}"  # but its sender is admitted
    async with open_doors() as doors, mcp_socket(doors.ws) as socket, AsyncExitStack() as held:
        await goes_on(socket)
        callers, strangers = [], []
        for _ in range(30):
            reader, writer = await held.enter_async_context(raw(doors))
            writer.write(no_call)
            await answer_of(reader, b"400")
            callers.append((reader, writer))
        for _ in range(50):
            reader, writer = await held.enter_async_context(raw(doors))
            writer.write(greeting)
            await answer_of(reader, b"200")
            strangers.append((reader, writer))
        async with asyncio.timeout(30):
            for reader, _ in strangers[:30]:
                assert (await reader.read()).startswith(b"HTTP/1.1 408")
        for reader, writer in strangers[30:]:
            writer.write(greeting)
            await answer_of(reader, b"200")
        for reader, writer in callers:
            writer.write(greeting)
            await answer_of(reader, b"200")
        await goes_on(socket)


async def answer_of(reader: asyncio.StreamReader, status: bytes) -> None:
    """Read one whole answer."""
    async with asyncio.timeout(30):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 " + status)
        (length,) = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        await reader.readexactly(int(length))


async def test_a_connection_is_good_for_the_next_request_after_an_early_answer(doors: Doors) -> None:
    async with raw(doors) as (reader, writer), asyncio.timeout(30):
        for _ in range(3):
            writer.write(b"PUT /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n")
            assert b" 405 " in await reader.readuntil(b"\r\n\r\n")
            writer.write(b"hello")
            await reader.readuntil(b"DELETE.")
