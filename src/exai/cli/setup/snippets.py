"""Pieces of configuration for pasting, which `exai serve` prints."""

import json
from dataclasses import dataclass
from typing import Literal

from exai.cli.setup.clients import CLIENTS
from exai.cli.setup.server import SERVER_NAME, Address, JsonObject, Process
from exai.config.client import TOKEN_VARIABLE

__all__ = ["Snippet", "snippets"]


@dataclass(frozen=True)
class Snippet:
    """A piece of configuration."""

    transport: Literal["connect", "http", "websocket"]
    title: str
    document: JsonObject

    @property
    def text(self) -> str:
        return json.dumps(self.document, indent=2, ensure_ascii=False)


def snippets(
    mcp_http: str, mcp_ws: str, executable: str, *, wants_token: bool = False
) -> tuple[Snippet, ...]:
    """Make a snippet for each way to this daemon, in the form that most clients share (VS Code has `servers`).

    Args:
        mcp_http: such as `http://127.0.0.1:8079/mcp`.
        mcp_ws: such as `ws://127.0.0.1:8079/mcp`.
        executable: the path of `exai`.
        wants_token: whether the daemon does.
    """
    client = CLIENTS[0]
    token = client.token_reference() if wants_token else None
    variables = {} if token is None else {TOKEN_VARIABLE: token}
    address = Address(mcp_http, token)
    headers: JsonObject = {"headers": address.headers} if address.headers else {}
    entries: tuple[tuple[Literal["connect", "http", "websocket"], str, JsonObject], ...] = (
        (
            "connect",
            "exai connect (through cuts and restarts)",
            client.process(Process(executable, ("connect", mcp_ws), variables)),
        ),
        ("http", "Streamable HTTP", {"type": "http", "url": mcp_http, **headers}),
        ("websocket", "WebSocket (subprotocol `mcp`)", {"type": "ws", "url": mcp_ws, **headers}),
    )
    return tuple(Snippet(way, title, {"mcpServers": {SERVER_NAME: entry}}) for way, title, entry in entries)
