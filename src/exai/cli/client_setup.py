"""Configuration files of MCP clients, with EXAI in them, as values."""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePath
from typing import Any, Literal

from exai.config.client import TOKEN_VARIABLE
from exai.errors import StartFault

__all__ = [
    "CLIENTS",
    "SERVER_NAME",
    "Client",
    "ClientName",
    "Snippet",
    "connect_entry",
    "executable",
    "http_entry",
    "merged",
    "snippets",
    "stdio_entry",
    "websocket_entry",
]

JsonObject = dict[str, Any]

SERVER_NAME = "exai"
"""The name under which clients list the server."""


class ClientName(StrEnum):
    """How a command line names a client."""

    CLAUDE_CODE = "claude-code"
    CURSOR = "cursor"
    VSCODE = "vscode"


@dataclass(frozen=True)
class Client:
    """An MCP client with a configuration file in the project's folder."""

    name: ClientName
    title: str
    file: PurePath
    """Relative to the project's folder."""

    servers_key: str
    """The member of the file that lists the servers."""

    token: str
    """What the file has in place of the token, which is never written into it."""

    inputs: tuple[JsonObject, ...] = ()
    """The inputs that `token` refers to."""

    def document(self, entry: JsonObject) -> JsonObject:
        """Return a file that configures nothing but EXAI."""
        servers = {self.servers_key: {SERVER_NAME: entry}}
        inputs = self.inputs_of(entry)
        return {"inputs": list(inputs), **servers} if inputs else servers

    def inputs_of(self, entry: JsonObject) -> tuple[JsonObject, ...]:
        """Return the inputs that an entry refers to."""
        return self.inputs if self.token in json.dumps(entry) else ()


CLIENTS = (
    Client(
        ClientName.CLAUDE_CODE,
        "Claude Code",
        PurePath(".mcp.json"),
        "mcpServers",
        f"${{{TOKEN_VARIABLE}}}",
    ),
    Client(
        ClientName.CURSOR,
        "Cursor",
        PurePath(".cursor/mcp.json"),
        "mcpServers",
        f"${{env:{TOKEN_VARIABLE}}}",
    ),
    Client(
        ClientName.VSCODE,
        "VS Code",
        PurePath(".vscode/mcp.json"),
        "servers",
        "${input:exai-token}",
        ({"type": "promptString", "id": "exai-token", "description": "Token for EXAI", "password": True},),
    ),
)


@dataclass(frozen=True)
class Snippet:
    """A piece of configuration for pasting."""

    transport: Literal["stdio", "http", "websocket"]
    title: str
    document: JsonObject

    @property
    def text(self) -> str:
        return json.dumps(self.document, indent=2, ensure_ascii=False)


def executable() -> str:
    """Return how a client's shell finds this `exai`: its name when that leads here, else its path."""
    beside = Path(sys.executable).with_name("exai")
    on_path = shutil.which("exai")
    if on_path is not None and (not beside.exists() or Path(on_path).samefile(beside)):
        return "exai"
    return str(beside)


def stdio_entry(executable: str, arguments: Sequence[str] = (), *, token: str | None = None) -> JsonObject:
    """Configure EXAI as a child process; `arguments` follow `exai stdio`, `token` is a reference to the token."""
    return _process(executable, ("stdio", *arguments), token)


def connect_entry(executable: str, arguments: Sequence[str] = (), *, token: str | None = None) -> JsonObject:
    """Configure a running daemon through `exai connect`, which gets `arguments`."""
    return _process(executable, ("connect", *arguments), token)


def http_entry(url: str, *, token: str | None = None) -> JsonObject:
    """Configure a running daemon by Streamable HTTP."""
    return {"type": "http", "url": url, **_headers(token)}


def websocket_entry(url: str, *, token: str | None = None) -> JsonObject:
    """Configure a running daemon by WebSocket. Clients differ in the form; the URL is what counts."""
    return {"type": "ws", "url": url, **_headers(token)}


def _process(executable: str, arguments: Sequence[str], token: str | None) -> JsonObject:
    entry: JsonObject = {"type": "stdio", "command": executable, "args": list(arguments)}
    return entry if token is None else {**entry, "env": {TOKEN_VARIABLE: token}}


def _headers(token: str | None) -> JsonObject:
    return {} if token is None else {"headers": {"Authorization": f"Bearer {token}"}}


def snippets(
    mcp_http: str, mcp_ws: str, executable: str, *, wants_token: bool = False
) -> tuple[Snippet, ...]:
    """Make a snippet for each way to connect, in the form that most clients share (VS Code has `servers`).

    Args:
        mcp_http: such as `http://127.0.0.1:8079/mcp`.
        mcp_ws: such as `ws://127.0.0.1:8079/mcp`.
        executable: how a shell finds `exai`.
        wants_token: whether the daemon does.
    """
    token = CLIENTS[0].token if wants_token else None

    def document(entry: JsonObject) -> JsonObject:
        return {"mcpServers": {SERVER_NAME: entry}}

    return (
        Snippet("stdio", "stdio (starts its own EXAI)", document(stdio_entry(executable, token=token))),
        Snippet("http", "Streamable HTTP (this daemon)", document(http_entry(mcp_http, token=token))),
        Snippet(
            "websocket",
            "WebSocket (this daemon, subprotocol `mcp`)",
            document(websocket_entry(mcp_ws, token=token)),
        ),
    )


def merged(existing: str | None, client: Client, entry: JsonObject, *, place: str) -> JsonObject:
    """Add EXAI to a client's file; everything else in it is kept.

    Args:
        existing: the file's text, `None` when there is no file.
        place: the file's path, for the message.

    Raises:
        StartFault: the text cannot be written back without losing something.
    """
    document = {} if existing is None or not existing.strip() else _parsed(existing, place)
    servers = document.setdefault(client.servers_key, {})
    if not isinstance(servers, dict):
        raise StartFault(f"`{client.servers_key}` in {place} is not a JSON object; nothing was written.")
    servers[SERVER_NAME] = entry
    if inputs := client.inputs_of(entry):
        _add_inputs(document, inputs, place)
    return document


def _add_inputs(document: JsonObject, inputs: Sequence[JsonObject], place: str) -> None:
    """Add the inputs that the file does not have; one with the same id is kept as it is."""
    present = document.setdefault("inputs", [])
    if not isinstance(present, list):
        raise StartFault(f"`inputs` in {place} is not a JSON list; nothing was written.")
    known = {each.get("id") for each in present if isinstance(each, dict)}
    present.extend(each for each in inputs if each["id"] not in known)


def _parsed(text: str, place: str) -> JsonObject:
    try:
        document = json.loads(text)
    except ValueError as error:
        spot = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise StartFault(
            f"{place} is not plain JSON{spot} (comments and trailing commas cannot be kept), so nothing was "
            "written; paste the entry shown above into it yourself, or leave this client out with `--client`."
        ) from None
    if not isinstance(document, dict):
        raise StartFault(
            f"{place} does not hold a JSON object, so nothing was written; correct or remove it."
        )
    return document
