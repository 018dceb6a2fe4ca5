"""Broken, oversized and greedy peers on the WebSocket: a definite answer, and nobody else notices."""

import asyncio
import contextlib
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from exai.callers import Caller, Door
from exai.events.events import ConnectionClosed as Closed
from exai.transports.websocket.protocol import LINGER_S
from support.mcp_websocket import mcp_socket
from support.open_doors import Doors, open_doors
from support.session_socket import session_socket
from support.virtual_time import now

EMPTY_BINARY_FRAME = bytes([0x82, 0x80, 0, 0, 0, 0])


async def ask(peer: ClientConnection, frame: str) -> dict[str, Any]:
    await peer.send(frame)
    async with asyncio.timeout(30):
        answer = json.loads(await peer.recv())
    assert isinstance(answer, dict)
    return answer


def request(**members: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping", **members})


BAD_FRAMES: list[tuple[str, int, int | None, str]] = [
    ("", -32700, None, "JSON"),
    ("{", -32700, None, "JSON"),
    ("\x00\x01", -32700, None, "JSON"),
    ('{"jsonrpc":"2.0","id":1e999,"method":"ping"}', -32700, None, "JSON"),
    ('{"jsonrpc":"2.0","id":1,"method":"ping",}', -32700, 1, "JSON"),
    ('{"method":"ping","params":{,},"jsonrpc":"2.0","id":1}', -32700, 1, "JSON"),
    (f"[{request()}]", -32600, None, "Batches"),
    ("[]", -32600, None, "Batches"),
    ("7", -32600, None, "jsonrpc"),
    ('"text"', -32600, None, "jsonrpc"),
    ("null", -32600, None, "jsonrpc"),
    ('{"id":1,"method":"ping"}', -32600, 1, "jsonrpc"),
    (request(jsonrpc="1.0"), -32600, 1, "jsonrpc"),
    (request(jsonrpc=2.0), -32600, 1, "jsonrpc"),
    (request(id=None), -32600, None, "id"),
    (request(id=True), -32600, None, "id"),
    (request(id=1.5), -32600, None, "id"),
    (request(id=[1]), -32600, None, "id"),
    (request(method=7), -32600, 1, "method"),
    (request(params=[1]), -32600, 1, "params"),
    (request(params="x"), -32600, 1, "params"),
    ('{"jsonrpc":"2.0","id":1}', -32600, 1, "request"),
    ('{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', -32600, None, "request"),
    (request(params={"_meta": 7}), -32602, 1, "_meta"),
    (request(method="nope/nope"), -32601, 1, "Method"),
    (request(method="tools/list"), -32602, 1, "initialize"),
    ("[" * 100_000, -32600, None, "64"),
    (request(params={"a": json.loads("[" * 64 + "]" * 64)}), -32600, 1, "64"),
    (request(params={"a": [{"[": []}] * 50_000}), -32600, 1, "100000"),
]


async def test_bad_messages_are_answered_and_the_connection_lives(
    doors: Doors, subtests: pytest.Subtests
) -> None:
    async with connect(doors.ws) as peer:
        for frame, code, answered_id, word in BAD_FRAMES:
            with subtests.test(frame=frame[:80]):
                answer = await ask(peer, frame)
                assert answer["jsonrpc"] == "2.0"
                assert answer.get("id") == answered_id
                assert ("id" in answer) == (answered_id is not None)
                assert answer["error"]["code"] == code
                assert word in answer["error"]["message"]
                assert (await ask(peer, request(id="after")))["result"] == {}


async def test_half_a_surrogate_pair_is_taken_as_the_replacement_character(doors: Doors) -> None:
    params = {"name": "echo", "arguments": {"text": "cut \ud83d here"}}
    async with mcp_socket(doors.ws) as client:
        answer = await client.request("tools/call", params)
        assert "cut \ufffd here" in json.dumps(answer, ensure_ascii=False)
    async with session_socket(doors.ws) as resumable:
        await resumable.open()
        await resumable.call(1, "echo", {"text": "cut \ud83d here"})
        assert "cut \ufffd here" in json.dumps((await resumable.message())[1], ensure_ascii=False)


async def test_params_of_the_wrong_type_are_named_and_not_repeated(
    doors: Doors, subtests: pytest.Subtests
) -> None:
    async with mcp_socket(doors.ws) as client:
        for params, place in (
            ({}, "name"),
            ({"name": 7}, "name"),
            ({"name": "echo", "arguments": [1]}, "arguments"),
            ({"name": "echo", "arguments": "canary"}, "arguments"),
        ):
            with subtests.test(params=params):
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
            '{"jsonrpc":"2.0","error":{"code":-32700,"message":"m"}}',
            '{"jsonrpc":"2.0","method":"notifications/nobody-knows"}',
            '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":{}}}',
            '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}',
        ):
            await peer.send(frame)
        assert (await ask(peer, request(id="first")))["id"] == "first"


async def test_depth_is_counted_in_the_structure_and_not_in_text(doors: Doors) -> None:
    async with mcp_socket(doors.ws) as client:
        code = "{[" * 100_000
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
            assert doors.events[1] == Closed(Door.WEBSOCKET, Caller.local(Door.WEBSOCKET), "protocol")


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


async def test_cancelled_before_its_first_step_a_request_still_gives_its_place_back() -> None:
    async with open_doors(websocket={"max_in_flight": 3}) as doors, mcp_socket(doors.ws) as client:
        call = {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "wait"}}
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled"}
        pairs = [({**call, "id": f"c{n}"}, {**cancel, "params": {"requestId": f"c{n}"}}) for n in range(20)]
        client.send_at_once([message for pair in pairs for message in pair])
        assert (await client.request("ping"))["result"] == {}
        assert not (await client.tool("echo"))["isError"]
        assert doors.engine.running == 0


async def test_a_packet_full_of_quick_requests_is_answered_whole() -> None:
    async with open_doors(websocket={"max_in_flight": 32}) as doors, mcp_socket(doors.ws) as client:
        started = [client._start() for _ in range(300)]
        params = {"name": "echo"}
        client.send_at_once(
            [
                {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
                for number, _ in started
            ]
        )
        for _, answer in started:
            assert "result" in await answer


async def test_a_number_and_the_same_number_as_text_are_two_ids(doors: Doors) -> None:
    async with connect(doors.ws) as peer:
        hello = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        await ask(peer, request(method="initialize", params=hello))
        for request_id in (7, "7"):
            await peer.send(request(id=request_id, method="tools/call", params={"name": "wait"}))
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "7"}}
        await peer.send(json.dumps(cancel))
        assert (await ask(peer, request()))["result"] == {}
        assert doors.engine.running == 1
        doors.engine.released.set()
        async with asyncio.timeout(30):
            assert json.loads(await peer.recv())["id"] == 7


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


@pytest.mark.virtual_time
async def test_a_peer_that_does_not_read_is_cut_off_and_nobody_else_notices() -> None:
    async with open_doors(websocket={"send_timeout_s": 20}) as doors, mcp_socket(doors.ws) as other:
        before = len(doors.events)
        stuck = await _connect_without_reading(doors.ws)
        call = {"name": "big", "arguments": {"characters": 4_000_000}}
        for number in range(8):
            await asyncio.get_running_loop().sock_sendall(
                stuck, _frame(request(id=number, method="tools/call", params=call))
            )
            assert not (await other.tool("echo"))["isError"]
        assert len(doors.events) == before + 1
        while len(doors.events) < before + 2:
            assert not (await other.tool("echo"))["isError"]
            await asyncio.sleep(1)
        assert 20 <= now() <= 22
        assert doors.events[before + 1] == Closed(Door.WEBSOCKET, Caller.local(Door.WEBSOCKET), "stuck")
        with contextlib.suppress(ConnectionResetError):
            while await asyncio.get_running_loop().sock_recv(stuck, 2**20):
                pass
        stuck.close()
        assert doors.engine.running == 0


@pytest.mark.virtual_time
async def test_a_peer_that_does_not_read_why_it_is_closed_is_dropped() -> None:
    loop = asyncio.get_running_loop()
    async with open_doors(websocket={"send_timeout_s": 20}) as doors:
        stuck = await _connect_without_reading(doors.ws)
        call = {"name": "big", "arguments": {"characters": 8_000_000}}
        await loop.sock_sendall(stuck, _frame(request(method="tools/call", params=call)))
        await loop.sock_sendall(stuck, EMPTY_BINARY_FRAME)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while True:
                await loop.sock_sendall(stuck, _frame(request()))
                await asyncio.sleep(0.25)
        assert now() <= 20 + LINGER_S + 1
        stuck.close()


async def test_a_refused_upgrade_is_no_error_of_ours(doors: Doors, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InvalidStatus):
        await connect(doors.ws, subprotocols=[Subprotocol("soap")])
    async with mcp_socket(doors.ws):
        assert not [record for record in caplog.records if record.levelname == "ERROR"]


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
