"""Broken, oversized and greedy peers on the WebSocket: a definite answer, and nobody else notices."""

import asyncio
import contextlib
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from exai.events import ConnectionClosed as Closed
from mcp_websocket import mcp_socket
from open_doors import Doors, open_doors


async def ask(peer: ClientConnection, frame: str) -> dict[str, Any]:
    await peer.send(frame)
    async with asyncio.timeout(10):
        answer = json.loads(await peer.recv())
    assert isinstance(answer, dict)
    return answer


def request(**members: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping", **members})


@pytest.mark.parametrize(
    ("frame", "code", "answered_id", "word"),
    [
        ("", -32700, None, "JSON"),
        ("{", -32700, None, "JSON"),
        ("\x00\x01", -32700, None, "JSON"),
        ('{"jsonrpc":"2.0","id":1e999,"method":"ping"}', -32700, None, "JSON"),
        (f"[{request()}]", -32600, None, "Batches"),
        ("[]", -32600, None, "Batches"),
        ("7", -32600, None, "jsonrpc"),
        ('"text"', -32600, None, "jsonrpc"),
        ("null", -32600, None, "jsonrpc"),
        ('{"id":1,"method":"ping"}', -32600, None, "jsonrpc"),
        (request(jsonrpc="1.0"), -32600, None, "jsonrpc"),
        (request(jsonrpc=2.0), -32600, None, "jsonrpc"),
        (request(id=None), -32600, None, "id"),
        (request(id=True), -32600, None, "id"),
        (request(id=1.5), -32600, None, "id"),
        (request(id=[1]), -32600, None, "id"),
        (request(method=7), -32600, 1, "method"),
        (request(params=[1]), -32600, 1, "params"),
        (request(params="x"), -32600, 1, "params"),
        ('{"jsonrpc":"2.0","id":1}', -32600, 1, "request"),
        ('{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', -32600, 1, "request"),
        (request(params={"_meta": 7}), -32602, 1, "_meta"),
        (request(method="nope/nope"), -32601, 1, "Method"),
        (request(method="tools/list"), -32602, 1, "initialize"),
        ("[" * 100_000, -32600, None, "64"),
        (request(params={"a": json.loads("[" * 64 + "]" * 64)}), -32600, None, "64"),
    ],
)
async def test_a_bad_message_is_answered_and_the_connection_lives(
    doors: Doors, frame: str, code: int, answered_id: int | None, word: str
) -> None:
    async with connect(doors.ws) as peer:
        answer = await ask(peer, frame)
        assert answer["jsonrpc"] == "2.0"
        assert answer["id"] == answered_id
        assert answer["error"]["code"] == code
        assert word in answer["error"]["message"]
        assert (await ask(peer, request(id="after")))["result"] == {}


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({}, "name"),
        ({"name": 7}, "name"),
        ({"name": "echo", "arguments": [1]}, "arguments"),
        ({"name": "echo", "arguments": "canary"}, "arguments"),
    ],
)
async def test_params_of_the_wrong_type_are_named_and_not_repeated(
    doors: Doors, params: dict[str, Any], place: str
) -> None:
    async with mcp_socket(doors.ws) as client:
        error = (await client.request("tools/call", params))["error"]
        assert error["code"] == -32602
        assert place in error["message"]
        assert "canary" not in error["message"]


async def test_what_needs_no_answer_gets_none(doors: Doors) -> None:
    async with connect(doors.ws) as peer:
        for frame in (
            '{"jsonrpc":"2.0","id":99,"result":{}}',
            '{"jsonrpc":"2.0","id":99,"error":{"code":1,"message":"m"}}',
            '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}',
            '{"jsonrpc":"2.0","method":"notifications/nobody-knows"}',
            '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":{}}}',
            '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}',
        ):
            await peer.send(frame)
        assert (await ask(peer, request(id="first")))["id"] == "first"


async def test_depth_is_counted_in_the_structure_and_not_in_text(doors: Doors) -> None:
    async with mcp_socket(doors.ws) as client:
        code = "{[" * 1000
        assert not (await client.tool("echo", {"text": code}))["isError"]
        assert not (await client.tool("echo", {"list": [[]] * 1000}))["isError"]


async def test_a_binary_frame_closes_with_1003(doors: Doors) -> None:
    async with connect(doors.ws) as peer:
        await peer.send(request().encode())
        with pytest.raises(ConnectionClosed) as closed:
            await peer.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003


@pytest.mark.parametrize("fragmented", [False, True])
async def test_a_message_over_the_limit_closes_with_1009(fragmented: bool) -> None:
    async with open_doors(websocket={"max_frame_bytes": 10_000}) as doors:
        async with connect(doors.ws) as peer:
            allowed = request(params={"_meta": {"a": "x" * 9_800}})
            assert (await ask(peer, allowed))["result"] == {}
            with pytest.raises(ConnectionClosed) as closed:
                await peer.send(iter(["x" * 6_000] * 2) if fragmented else "x" * 10_001)
                await peer.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
        async with mcp_socket(doors.ws):
            assert doors.events[1] == Closed("websocket", "protocol")


async def test_calls_over_the_cap_are_refused_and_the_rest_goes_on() -> None:
    async with open_doors(websocket={"max_in_flight": 3}) as doors, mcp_socket(doors.ws) as client:
        waiting = [(await client.begin_tool("wait", {}))[1] for _ in range(3)]
        await doors.engine.started.wait()
        error = (await client.request("tools/call", {"name": "echo"}))["error"]
        assert error["code"] == -32003
        assert "3" in error["message"]
        assert (await client.request("ping"))["result"] == {}
        async with mcp_socket(doors.ws) as other:
            assert not (await other.tool("echo"))["isError"]
        doors.engine.released.set()
        for answer in waiting:
            assert "result" in await answer
        assert not (await client.tool("echo"))["isError"]
        assert doors.engine.most_running <= 4


async def test_an_id_that_is_still_running_is_refused(doors: Doors) -> None:
    async with mcp_socket(doors.ws) as client:
        number, first = await client.begin_tool("wait", {})
        await doors.engine.started.wait()
        second = client._waiting[number] = asyncio.get_running_loop().create_future()
        await client.send(
            {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": "echo"}}
        )
        assert (await second)["error"]["code"] == -32600
        client._waiting[number] = first
        doors.engine.released.set()
        assert "result" in await first


async def test_a_peer_that_does_not_read_is_cut_off_and_nobody_else_notices() -> None:
    async with open_doors(websocket={"send_timeout_s": 0.5}) as doors, mcp_socket(doors.ws) as other:
        before = len(doors.events)
        stuck = await _connect_without_reading(doors.ws)
        call = {"name": "big", "arguments": {"characters": 4_000_000}}
        for number in range(8):
            await asyncio.get_running_loop().sock_sendall(
                stuck, _frame(request(id=number, method="tools/call", params=call))
            )
            assert not (await other.tool("echo"))["isError"]
        async with asyncio.timeout(20):
            while len(doors.events) < before + 2:
                assert not (await other.tool("echo"))["isError"]
        assert doors.events[before + 1] == Closed("websocket", "stuck")
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionResetError):
                while await asyncio.get_running_loop().sock_recv(stuck, 2**20):
                    pass
        stuck.close()
        assert doors.engine.running == 0


async def _connect_without_reading(address: str) -> socket.socket:
    """A WebSocket by hand, initialized, with a small receive buffer that is never read again."""
    port = urlsplit(address).port
    loop = asyncio.get_running_loop()
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.setblocking(False)
    await loop.sock_connect(peer, ("127.0.0.1", port))
    upgrade = (
        "GET /mcp HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await loop.sock_sendall(peer, upgrade.encode())
    received = b""
    while b"\r\n\r\n" not in received:
        received += await loop.sock_recv(peer, 65536)
    hello = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "stuck", "version": "1"},
    }
    await loop.sock_sendall(peer, _frame(request(method="initialize", params=hello)))
    while b'"result"' not in received:
        received += await loop.sock_recv(peer, 65536)
    return peer


def _frame(text: str) -> bytes:
    """A masked text frame (mask of zeros); up to 125 or 65535 bytes."""
    payload = text.encode()
    if len(payload) < 126:
        return bytes([0x81, 0x80 | len(payload)]) + bytes(4) + payload
    return bytes([0x81, 0x80 | 126]) + len(payload).to_bytes(2) + bytes(4) + payload
