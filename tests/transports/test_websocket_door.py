"""MCP over WebSocket: both revisions, concurrency, cancellation, progress."""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from exai.callers import Caller, Door
from exai.events.events import ConnectionClosed, ConnectionOpened, IncidentRecorded
from support.mcp_websocket import McpSocket, mcp_socket
from support.open_doors import Doors, open_doors

ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "modern", "version": "2"},
}


async def modern(client: McpSocket, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    return await client.request(method, {**(params or {}), "_meta": ENVELOPE})


async def test_a_handshake_client_lists_and_calls(doors: Doors) -> None:
    async with mcp_socket(doors.ws, handshake=False) as client:
        hello = (await client.initialize())["result"]
        assert hello["protocolVersion"] == "2025-11-25"
        assert hello["serverInfo"]["name"] == "exai"
        assert hello["serverInfo"]["version"] == "9.9"
        assert "continuation_id" in hello["instructions"]
        assert "`files`" in hello["instructions"], "all that a client knows which loads tools by search"
        tools = (await client.request("tools/list"))["result"]["tools"]
        assert [tool["name"] for tool in tools][:2] == ["echo", "wait"]
        assert tools[0]["inputSchema"] == {"type": "object"}
        result = await client.tool("echo", {"a": [1, {"b": None}]})
        assert result == {
            "content": [{"type": "text", "text": "echo {'a': [1, {'b': None}]}"}],
            "structuredContent": {"arguments": {"a": [1, {"b": None}]}},
            "isError": False,
            "_meta": {"exai/test": True},
        }
        assert (await client.request("logging/setLevel", {"level": "info"}))["result"] == {}
        assert (await client.request("ping"))["result"] == {}
    assert doors.engine.callers[0].door == "websocket"
    assert doors.engine.callers[0].client == "test 1"


async def test_an_envelope_client_needs_no_handshake(doors: Doors) -> None:
    async with mcp_socket(doors.ws, handshake=False) as client:
        found = (await modern(client, "server/discover"))["result"]
        assert found["supportedVersions"] == ["2026-07-28"]
        assert found["resultType"] == "complete"
        assert found["ttlMs"] > 0
        assert "continuation_id" in found["instructions"]
        listed = (await modern(client, "tools/list"))["result"]
        assert listed["ttlMs"] > 0
        assert listed["cacheScope"] == "public"
        result = (await modern(client, "tools/call", {"name": "echo", "arguments": {"a": 1}}))["result"]
        assert result["structuredContent"] == {"arguments": {"a": 1}}
        assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "exai"
        assert (await modern(client, "ping"))["error"]["code"] == -32601
    assert doors.engine.callers[0].client == "modern 2"


async def test_both_revisions_on_one_socket(doors: Doors) -> None:
    async with mcp_socket(doors.ws) as client:
        assert (await modern(client, "tools/call", {"name": "echo"}))["result"]["isError"] is False
        assert (await client.tool("echo"))["isError"] is False


async def test_a_subscription_is_acknowledged_and_does_not_hold_up_the_rest(doors: Doors) -> None:
    async with mcp_socket(doors.ws, handshake=False) as client:
        number, _ = client._start()
        params = {"notifications": {"toolsListChanged": True}, "_meta": ENVELOPE}
        await client.send(
            {"jsonrpc": "2.0", "id": number, "method": "subscriptions/listen", "params": params}
        )
        assert (await modern(client, "tools/call", {"name": "echo"}))["result"]["isError"] is False
        assert client.notifications[0]["method"] == "notifications/subscriptions/acknowledged"
        assert client.notifications[0]["params"]["_meta"] == {
            "io.modelcontextprotocol/subscriptionId": number
        }


async def test_the_subprotocol_is_chosen_when_offered_and_not_required(doors: Doors) -> None:
    async with connect(doors.ws, subprotocols=[Subprotocol("x"), Subprotocol("mcp")]) as socket:
        assert socket.subprotocol == "mcp"
    async with connect(doors.ws.removesuffix("mcp")) as socket:
        assert socket.subprotocol is None
        await socket.send('{"jsonrpc":"2.0","id":1,"method":"ping"}')
        assert json.loads(await socket.recv()) == {"jsonrpc": "2.0", "id": 1, "result": {}}


@pytest.mark.parametrize(
    ("options", "status", "word"),
    [
        ({"subprotocols": ["soap"]}, 400, "mcp"),
        ({"origin": "https://evil.example"}, 403, "server.allowed_origins"),
        ({"additional_headers": {"Origin": "null"}}, 403, "server.allowed_origins"),
        ({"host": "evil.example"}, 421, "server.allowed_hosts"),
        ({"path": "/other"}, 404, "/mcp"),
    ],
)
async def test_an_unauthenticated_client_is_refused_before_the_upgrade(
    doors: Doors, options: dict[str, Any], status: int, word: str
) -> None:
    address = doors.ws
    if "path" in options:
        address = address.replace("/mcp", options.pop("path"))
    if "host" in options:
        port = urlsplit(address).port
        address = f"ws://{options.pop('host')}:{port}/mcp"
        options = {"host": "127.0.0.1", "port": port}
    with pytest.raises(InvalidStatus) as refused:
        async with connect(address, **options):
            pass
    assert refused.value.response.status_code == status
    assert word in refused.value.response.body.decode()
    assert not doors.events


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1", "https://ide.example"])
async def test_origins_that_may(origin: str) -> None:
    async with (
        open_doors(server={"allowed_origins": ("https://ide.example",)}) as doors,
        connect(doors.ws, origin=Origin(origin)) as socket,
    ):
        await socket.ping()


async def test_a_waiting_call_delays_nobody(doors: Doors) -> None:
    async with mcp_socket(doors.ws) as one, mcp_socket(doors.ws) as other:
        _, waiting = await one.begin_tool("wait", {})
        await doors.engine.started.wait()
        assert (await one.request("ping"))["result"] == {}
        assert not (await one.tool("echo"))["isError"]
        assert (await other.request("ping"))["result"] == {}
        assert not (await other.tool("echo"))["isError"]
        assert not waiting.done()
        doors.engine.released.set()
        assert (await waiting)["result"]["content"][0]["text"] == "released"


async def test_cancellation_reaches_the_engine_and_is_not_answered(doors: Doors) -> None:
    async with mcp_socket(doors.ws) as client:
        number, answer = await client.begin_tool("wait", {})
        await doors.engine.started.wait()
        await client.notify("notifications/cancelled", {"requestId": number})
        async with asyncio.timeout(30):
            await doors.engine.cancelled.wait()
        assert (await client.request("ping"))["result"] == {}
        assert doors.engine.running == 0
        assert not answer.done()
        answer.cancel()
        await client.cancel(4711)
        assert not (await client.tool("echo"))["isError"]


async def test_a_client_that_leaves_cancels_its_calls(doors: Doors) -> None:
    async with mcp_socket(doors.ws) as client:
        await client.begin_tool("wait", {})
        await doors.engine.started.wait()
    async with asyncio.timeout(30):
        await doors.engine.cancelled.wait()
    async with mcp_socket(doors.ws):
        local = Caller.local(Door.WEBSOCKET)
        assert doors.events[:2] == [
            ConnectionOpened(Door.WEBSOCKET, local),
            ConnectionClosed(Door.WEBSOCKET, local, "client"),
        ]


@pytest.mark.parametrize("token", ["word", 0, 7])
async def test_progress_comes_before_the_answer_with_its_token(doors: Doors, token: str | int) -> None:
    async with mcp_socket(doors.ws) as client:
        for envelope in ({}, ENVELOPE):
            client.notifications.clear()
            meta = {**envelope, "progressToken": token}
            answer = await client.request(
                "tools/call", {"name": "count", "arguments": {"to": 3}, "_meta": meta}
            )
            assert answer["result"]["structuredContent"] == {"to": 3}
            assert client.notifications == [
                {
                    "jsonrpc": "2.0",
                    "method": "notifications/progress",
                    "params": {
                        "progressToken": token,
                        "progress": float(number),
                        "message": f"step {number}",
                        "_meta": {"exai/kind": "text", "exai/delta": f"{number} "},
                    },
                }
                for number in (1, 2, 3)
            ]


async def test_without_a_token_there_is_no_progress(doors: Doors) -> None:
    async with mcp_socket(doors.ws) as client:
        await client.tool("count", {"to": 3})
        assert client.notifications == []


async def test_an_incident_shows_its_id_and_nothing_else(doors: Doors) -> None:
    async with mcp_socket(doors.ws) as client:
        answer = await client.request("tools/call", {"name": "crash", "arguments": {}})
        assert answer["error"]["code"] == -32603
        assert answer["error"]["data"]["incident_id"] in answer["error"]["message"]
        assert "canary" not in json.dumps(answer)
        assert not (await client.tool("echo"))["isError"]
    assert sum(isinstance(event, IncidentRecorded) for event in doors.events) == 1


async def test_an_answer_with_half_a_surrogate_pair_arrives(doors: Doors) -> None:
    async with mcp_socket(doors.ws) as client:
        progress: list[str] = []
        answer = await client.tool("broken_text", on_progress=lambda told: progress.append(told["message"]))
        assert progress == ["\ufffd"]
        assert answer["content"][0]["text"] == "\ufffd"
        assert answer["structuredContent"] == {"\ufffd": ["\ufffd"]}


async def test_an_unknown_tool_is_named(doors: Doors) -> None:
    async with mcp_socket(doors.ws) as client:
        error = (await client.request("tools/call", {"name": "nope", "arguments": {}}))["error"]
        assert error["code"] == -32602
        assert "nope" in error["message"]
