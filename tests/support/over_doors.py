"""One call of a tool by every door of a port."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from support.guarded_daemon import GuardedDaemon
from support.mcp_websocket import mcp_socket
from support.session_socket import ENVELOPE, session_socket

__all__ = ["BOTH", "over_every_door", "sockets_of", "tool_call"]

BOTH = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


def sockets_of(guarded: GuardedDaemon) -> tuple[str, str]:
    """Where WebSockets are taken: the MCP port, and the port of errors."""
    return guarded.daemon.mcp_ws.removesuffix("/mcp"), guarded.daemon.errors.replace("http://", "ws://")


def tool_call(name: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    params = {"name": name, "arguments": arguments, "_meta": ENVELOPE}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    routing = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": name}
    return message, BOTH | routing


async def over_every_door(
    guarded: GuardedDaemon,
    http: aiohttp.ClientSession,
    name: str,
    arguments: dict[str, Any],
    headers: dict[str, str],
    *,
    at: str | None = None,
) -> AsyncIterator[dict[str, Any]]:
    """The answer to one call over HTTP in both revisions, a plain socket and a session.

    `at` is the WebSocket address of another port than the MCP port.
    """
    ws = guarded.daemon.mcp_ws if at is None else f"{at}/mcp"
    url = ws.replace("ws://", "http://")
    message, routing = tool_call(name, arguments)
    async with http.post(url, json=message, headers=routing | headers) as response:
        yield await last_message(response)
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    initialize = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
    async with http.post(url, json=initialize, headers=BOTH | headers) as response:
        session = {"Mcp-Session-Id": response.headers["Mcp-Session-Id"], "MCP-Protocol-Version": "2025-11-25"}
        await response.read()
    del message["params"]["_meta"]
    async with http.post(url, json=message, headers=BOTH | headers | session) as response:
        yield await last_message(response)
    async with mcp_socket(ws, headers=headers) as plain:
        yield await plain.request("tools/call", {"name": name, "arguments": arguments})
    async with session_socket(ws, headers) as resumable:
        await resumable.open()
        await resumable.call(1, name, arguments)
        yield (await resumable.message())[1]


async def last_message(response: aiohttp.ClientResponse) -> Any:
    """The answer, in whichever form it came."""
    if response.content_type == "application/json":
        return await response.json()
    lines = (await response.text()).splitlines()
    return json.loads([line[5:] for line in lines if line.startswith("data:") and line[5:].strip()][-1])
