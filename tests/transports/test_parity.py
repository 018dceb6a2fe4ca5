"""The same conversation gets the same answers over every door, and over the SDK's own loop where that answers.

What the SDK's loop does otherwise, and why the pump does not:

* malformed JSON, batches and bad ids: it answers nothing; JSON-RPC asks for -32700 and -32600;
* both revisions on one connection: it locks to the first; 2026-07-28 has the revision per request;
* an id that is still running: it forgets the first request, which can then not be cancelled.

HTTP alone has the routing headers of 2026-07-28, so a tool name that no header can carry is refused there
before its type is looked at.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import anyio
import pytest
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCMessage
from pydantic import TypeAdapter, ValidationError
from websockets.asyncio.client import connect

from exai.callers import Caller, Door
from exai.events.bus import EventBus
from exai.transports.server import build_server
from support.open_doors import open_doors
from support.scripted_engine import VERSION, ScriptedEngine
from support.stdio_client import stdio

Message = dict[str, Any]
Exchange = Callable[[Message], Awaitable[list[Message]]]
"""Sends one message; what comes back, up to the answer. Nothing comes back for a notification."""

ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
PARAMS: list[tuple[str, Message]] = [
    ("tools/list", {}),
    ("tools/list", {"cursor": "x"}),
    ("tools/call", {"name": "echo", "arguments": {"ä": [1, 2.5, None, True, {"b": "\u2028 \U0001f600"}]}}),
    ("tools/call", {"name": "echo"}),
    ("tools/call", {"name": "echo", "arguments": {}, "_meta": {"progressToken": "t"}}),
    ("tools/call", {"name": "count", "arguments": {"to": 3}, "_meta": {"progressToken": "t"}}),
    ("tools/call", {"name": "nope", "arguments": {}}),
    ("tools/call", {"name": "crash", "arguments": {}}),
    ("tools/call", {"name": 7}),
    ("tools/call", {"name": "echo", "arguments": [1]}),
    ("tools/call", {}),
    ("ping", {}),
    ("logging/setLevel", {"level": "info"}),
    ("logging/setLevel", {"level": "loud"}),
    ("resources/list", {}),
    ("no/such", {}),
]


def handshake_era() -> list[Message]:
    hello = {"jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": HELLO}
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    return [hello, ready, *_requests({})]


def envelope_era() -> list[Message]:
    odd: list[Message] = [
        {"io.modelcontextprotocol/protocolVersion": "2026-07-28"},
        {**ENVELOPE, "io.modelcontextprotocol/protocolVersion": "2099-01-01"},
    ]
    broken = [
        {"jsonrpc": "2.0", "id": f"odd {number}", "method": "tools/list", "params": {"_meta": meta}}
        for number, meta in enumerate(odd)
    ]
    discover = {"jsonrpc": "2.0", "id": "d", "method": "server/discover", "params": {"_meta": ENVELOPE}}
    return [discover, *broken, *_requests(ENVELOPE)]


def _requests(envelope: Message) -> list[Message]:
    return [
        {
            "jsonrpc": "2.0",
            "id": number,
            "method": method,
            "params": {**params, "_meta": {**envelope, **params.get("_meta", {})}} if envelope else params,
        }
        for number, (method, params) in enumerate(PARAMS)
    ]


@asynccontextmanager
async def over_websocket() -> AsyncIterator[Exchange]:
    async with open_doors() as doors, connect(doors.ws) as socket:

        async def exchange(message: Message) -> list[Message]:
            await socket.send(json.dumps(message))
            return await _until_answer(message, socket.recv)

        yield exchange


@asynccontextmanager
async def over_stdio() -> AsyncIterator[Exchange]:
    async with stdio(handshake=False) as client:

        async def exchange(message: Message) -> list[Message]:
            await client.send(message)
            return await _until_answer(message, client.stdout.readline)

        yield exchange


@asynccontextmanager
async def over_http(*, plain_calls: bool = True) -> AsyncIterator[Exchange]:
    async with (
        open_doors(server={"plain_calls": plain_calls}) as doors,
        aiohttp.ClientSession() as http,
    ):
        session: dict[str, str] = {"Accept": "application/json, text/event-stream"}

        async def exchange(message: Message) -> list[Message]:
            async with http.post(
                doors.http, json=message, headers={**session, **_routing(message)}
            ) as response:
                if message["method"] == "initialize":
                    session["Mcp-Session-Id"] = response.headers["Mcp-Session-Id"]
                if "id" not in message:
                    return []
                if response.content_type == "application/json":
                    return [await response.json()]
                return [
                    json.loads(line[5:])
                    async for line in response.content
                    if line.startswith(b"data:") and line[5:].strip()
                ]

        yield exchange


over_http_by_the_sdk = partial(over_http, plain_calls=False)


def _routing(message: Message) -> dict[str, str]:
    """The headers that mirror a request's body, which 2026-07-28 asks for."""
    params = message.get("params", {})
    version = params.get("_meta", {}).get("io.modelcontextprotocol/protocolVersion")
    if version is None:
        return {}
    name = params.get("name")
    named = {"Mcp-Name": name} if isinstance(name, str) else {}
    return {"MCP-Protocol-Version": version, "Mcp-Method": message["method"], **named}


@asynccontextmanager
async def over_the_sdk_loop() -> AsyncIterator[Exchange]:
    """The SDK's supported seam: a stream pair into `Server.run`."""
    server = build_server(ScriptedEngine(), version=VERSION, bus=EventBus())
    to_server, from_client = anyio.create_memory_object_stream[SessionMessage | Exception](10)
    to_client, from_server = anyio.create_memory_object_stream[SessionMessage](10)
    parse = TypeAdapter[JSONRPCMessage](JSONRPCMessage).validate_python

    async def attach_caller(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        ctx.request = Caller.local(Door.HTTP)
        return await call_next(ctx)

    server.middleware.append(attach_caller)

    async def receive() -> str:
        sent = await from_server.receive()
        return sent.message.model_dump_json(by_alias=True, exclude_unset=True)

    async def exchange(message: Message) -> list[Message]:
        try:
            await to_server.send(SessionMessage(parse(message)))
        except ValidationError as error:
            await to_server.send(error)
        return await _until_answer(message, receive)

    async with asyncio.TaskGroup() as group:
        group.create_task(server.run(from_client, to_client, server.create_initialization_options()))
        yield exchange
        await to_server.aclose()
    from_server.close()


async def _until_answer(message: Message, receive: Callable[[], Awaitable[str | bytes]]) -> list[Message]:
    received: list[Message] = []
    while "id" in message and not (received and "method" not in received[-1]):
        async with asyncio.timeout(30):
            received.append(json.loads(await receive()))
    return received


def _comparable(received: list[Message]) -> list[Message]:
    """What was received, without the one thing that is different each time."""
    for message in received:
        error = message.get("error", {})
        if "incident_id" in (error.get("data") or {}):
            error["message"] = error["message"].replace(error["data"].pop("incident_id"), "ID")
    return received


async def _held(
    over: Callable[[], AbstractAsyncContextManager[Exchange]], messages: list[Message]
) -> list[Any]:
    async with over() as exchange:
        return [(message, _comparable(await exchange(message))) for message in messages]


@pytest.mark.parametrize("conversation", [handshake_era, envelope_era])
async def test_the_same_answers_over_every_door(conversation: Callable[[], list[Message]]) -> None:
    messages = conversation()
    expected = await _held(over_websocket, messages)
    assert [received[-1]["id"] for message, received in expected if "id" in message] == [
        message["id"] for message in messages if "id" in message
    ]
    assert sum("result" in received[-1] for _, received in expected if received) >= 6
    for over in (over_stdio, over_http, over_http_by_the_sdk, over_the_sdk_loop):
        for (message, here), (_, there) in zip(expected, await _held(over, messages), strict=True):
            if (
                over in (over_http, over_http_by_the_sdk)
                and _routing(message)
                and message.get("params", {}).get("name") == 7
            ):
                assert there[-1]["error"]["code"] == -32020
                continue
            assert there == here, (over, message)
