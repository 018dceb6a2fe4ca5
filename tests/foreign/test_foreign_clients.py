"""Clients that others wrote hold a conversation with the running daemon, and over stdio."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from mcp import StdioServerParameters

from support.daemons import EXAI, Daemon, clean_environ
from support.foreign_clients import ForeignClient, Refused, python_client, typescript_client
from support.nodes import Node

HANDSHAKE = "2025-11-25"
ENVELOPE = "2026-07-28"
INVALID_PARAMS = -32602

CLIENTS = (
    "python-http-legacy",
    "python-http-auto",
    "python-stdio-legacy",
    "python-stdio-modern",
    "typescript-websocket",
)
PAIRS = list(zip(CLIENTS, CLIENTS[2:] + CLIENTS[:2], strict=True))
"""Each begins a conversation that another ends; never two over the same door."""


class Connect:
    """Connects a client by its name to the daemon, or to a stdio server on the daemon's data folder."""

    def __init__(self, daemon: Daemon, data_dir: Path, node: Node) -> None:
        self._daemon = daemon
        self._data_dir = data_dir
        self._node = node

    def __call__(self, name: str) -> AbstractAsyncContextManager[ForeignClient]:
        http = self._daemon.mcp_http
        match name:
            case "python-http-legacy":
                return python_client(http, mode="legacy", expected_version=HANDSHAKE)
            case "python-http-auto":
                return python_client(http, mode="auto", expected_version=ENVELOPE)
            case "python-stdio-legacy":
                return python_client(self._stdio(), mode="legacy", expected_version=HANDSHAKE)
            case "python-stdio-modern":
                return python_client(self._stdio(), mode=ENVELOPE, expected_version=ENVELOPE)
            case _:
                return typescript_client(self._node, self._daemon.mcp_ws)

    def _stdio(self) -> StdioServerParameters:
        command, *arguments = EXAI
        return StdioServerParameters(
            command=command,
            args=[*arguments, "stdio", "--demo"],
            env=clean_environ(self._data_dir),
            cwd=self._data_dir,
        )


@pytest.fixture
def connect(demonstration: Daemon, data_dir: Path, node: Node) -> Connect:
    return Connect(demonstration, data_dir, node)


@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_a_conversation_begun_by_one_client_goes_on_by_another_over_another_door(
    connect: Connect, first: str, second: str
) -> None:
    async with connect(first) as client:
        told = await client.call("chat", {"prompt": "The secret word is Bergamot."})
    assert not told.is_error, told.text
    assert told.progress, "no progress was heard"
    assert list(told.progress) == sorted(set(told.progress))
    handle = told.structured["continuation_id"]
    async with connect(second) as client:
        recalled = await client.call(
            "chat", {"prompt": "What was the secret word?", "continuation_id": handle}
        )
    assert not recalled.is_error, recalled.text
    assert "Bergamot" in recalled.structured["answer"]
    assert recalled.structured["continuation_id"] == handle
    assert recalled.structured["exchanges_remaining"] == told.structured["exchanges_remaining"] - 1


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_client_lists_and_calls_tools_and_gets_their_errors(connect: Connect, name: str) -> None:
    async with connect(name) as client:
        assert set(await client.tools()) >= {"chat", "search", "consensus", "status"}
        models = await client.call("models", {})
        assert {provider["name"] for provider in models.structured["providers"]} >= {"glm", "kimi"}
        status = await client.call("status", {})
        assert not status.is_error
        assert status.structured
        wrong = await client.call("chat", {"prompt": 7})
        assert wrong.is_error
        assert "prompt" in wrong.text
        with pytest.raises(Refused) as refused:
            await client.call("no_such_tool", {})
        assert refused.value.code == INVALID_PARAMS
        assert "no_such_tool" in str(refused.value)
        after = await client.call("chat", {"prompt": "Are you still there?"})
        assert not after.is_error
