"""What a test profile adds to the server, and requests that go from the server to the client."""

import asyncio
from typing import Any

import mcp_types as types
import pytest
from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server

from exai import config
from exai.tools.listing.profiles import Profiles
from exai.transports.server import counted_lists
from support.mcp_websocket import McpSocket, mcp_socket
from support.open_doors import open_doors

HELLO = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"elicitation": {}},
    "clientInfo": {"name": "t", "version": "1"},
}
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
}


def with_asking(server: Server[Any]) -> None:
    """A tool `ask` before the engine's, that asks the user for a word."""
    entry = server.get_request_handler("tools/call")
    assert entry is not None

    async def call_tool(
        context: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> HandlerResult:
        if params.name != "ask":
            result: HandlerResult = await entry.handler(context, params)
            return result
        schema = {"type": "object", "properties": {"word": {"type": "string"}}}
        answer = await context.session.elicit_form(
            "Which word?", schema, related_request_id=context.request_id
        )
        return {"content": [{"type": "text", "text": f"{answer.action} {answer.content}"}]}

    server.add_request_handler("tools/call", types.CallToolRequestParams, call_tool)


async def asked(client: McpSocket) -> dict[str, Any]:
    """The next request that the server sends."""
    async with asyncio.timeout(30):
        while not any(message["method"] == "elicitation/create" for message in client.notifications):
            assert (await client.request("ping"))["result"] == {}
    message = client.notifications.pop()
    assert message["method"] == "elicitation/create"
    return message


async def test_a_tool_asks_the_client_and_others_go_on_meanwhile() -> None:
    async with open_doors(extend=[with_asking]) as doors, mcp_socket(doors.ws, handshake=False) as client:
        await client.request("initialize", HELLO)
        await client.notify("notifications/initialized")
        for answered_id in (lambda number: number, str):
            _, answer = await client.begin_tool("ask", {})
            question = await asked(client)
            assert question["params"]["message"] == "Which word?"
            assert not (await client.tool("echo"))["isError"]
            result = {"action": "accept", "content": {"word": "Chervil"}}
            await client.send({"jsonrpc": "2.0", "id": answered_id(question["id"]), "result": result})
            text = (await answer)["result"]["content"][0]["text"]
            assert text == "accept {'word': 'Chervil'}"


async def test_a_client_that_answers_with_an_error_fails_that_call_only() -> None:
    async with open_doors(extend=[with_asking]) as doors, mcp_socket(doors.ws, handshake=False) as client:
        await client.request("initialize", HELLO)
        await client.notify("notifications/initialized")
        for error in ({"code": -1, "message": "No."}, {}, "odd", None):
            _, answer = await client.begin_tool("ask", {})
            question = await asked(client)
            await client.send({"jsonrpc": "2.0", "id": question["id"], "error": error})
            assert "error" in await answer
        assert not (await client.tool("echo"))["isError"]


async def test_cancelling_a_call_takes_its_question_back() -> None:
    async with open_doors(extend=[with_asking]) as doors, mcp_socket(doors.ws, handshake=False) as client:
        await client.request("initialize", HELLO)
        await client.notify("notifications/initialized")
        number, _ = await client.begin_tool("ask", {})
        question = await asked(client)
        await client.cancel(number)
        assert not (await client.tool("echo"))["isError"]
        taken_back = client.notifications.pop()
        assert taken_back["method"] == "notifications/cancelled"
        assert taken_back["params"]["requestId"] == question["id"]


@pytest.mark.parametrize("name", ["ask", "echo"])
async def test_the_envelope_era_has_no_requests_to_the_client(name: str) -> None:
    async with open_doors(extend=[with_asking]) as doors, mcp_socket(doors.ws, handshake=False) as client:
        answer = await client.request("tools/call", {"name": name, "arguments": {}, "_meta": ENVELOPE})
        assert ("error" in answer) == (name == "ask")
        assert not client.notifications


async def test_lists_of_tools_that_are_sent_are_told_with_their_reader_and_their_profile() -> None:
    told: list[tuple[str, str]] = []
    counting = counted_lists(
        Profiles(config.Tools(profile="lean")), lambda caller, profile: told.append((caller.client, profile))
    )
    async with open_doors(extend=[counting]) as doors, mcp_socket(doors.ws, handshake=False) as client:
        await client.request("initialize", HELLO)
        await client.notify("notifications/initialized")
        assert (await client.request("tools/list"))["result"]["tools"]
        assert "error" in await client.request("tools/list", {"cursor": "2"})
    assert told == [("t 1", "lean")]
