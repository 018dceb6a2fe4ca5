"""Which list of tools a client is shown, by the daemon and by `exai stdio`."""

import json
from pathlib import Path

import pytest

from exai.tools.listing.profiles import ORDER
from support.daemons import StartDaemon, clean_environ
from support.mcp_websocket import McpSocket, mcp_socket
from support.stdio_client import HELLO, forked

LIST = {"jsonrpc": "2.0", "id": "list", "method": "tools/list"}


async def names(socket: McpSocket) -> list[str]:
    return [tool["name"] for tool in (await socket.request("tools/list"))["result"]["tools"]]


async def test_a_client_is_shown_its_own_list_and_may_call_what_is_not_in_it(
    start_daemon: StartDaemon,
) -> None:
    rules = json.dumps([{"client": "TEST", "profile": "lean"}])
    async with start_daemon(EXAI_TOOLS__PROFILE="compatible", EXAI_TOOLS__LISTED_FOR=rules) as daemon:
        async with mcp_socket(daemon.mcp_ws) as named:
            assert "search" not in await names(named)
            assert (await named.tool("challenge", {"statement": "Water is wet."}))["isError"] is False
            assert (await named.tool("version"))["structuredContent"]["service"]["name"] == "exai"
        async with mcp_socket(daemon.mcp_ws, handshake=False) as other:
            hello = {"protocolVersion": "2025-11-25", "capabilities": {}}
            await other.request("initialize", {**hello, "clientInfo": {"name": "other", "version": "1"}})
            await other.notify("notifications/initialized")
            assert (await names(other))[: len(ORDER)] == list(ORDER)
            assert "kimi_chat_with_files" in await names(other)


@pytest.mark.parametrize(
    ("environ", "arguments", "file"),
    [
        ({"EXAI_TOOLS__PROFILE": "lean"}, (), ""),
        ({}, ("--set", "tools.profile=lean"), ""),
        ({}, (), '[tools]\nprofile = "lean"\n'),
        ({}, (), 'tools.profile = "lean"\n'),
        ({}, (), '[[tools.listed_for]]\nclient = "t"\nprofile = "lean"\n'),
    ],
)
async def test_a_process_of_a_client_shows_the_list_that_is_set_from_the_beginning(
    tmp_path: Path, environ: dict[str, str], arguments: tuple[str, ...], file: str
) -> None:
    settings = tmp_path / "exai.toml"
    settings.write_text(file, encoding="utf-8")
    settings.chmod(0o600)
    env = clean_environ(tmp_path / "data", {"EXAI_CONFIG": str(settings), **environ})
    async with forked("exai.cli", "stdio", *arguments, env=env, cwd=tmp_path) as client:
        params = {**HELLO, "clientInfo": {"name": "t", "version": "1"}}
        await client.ask({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        await client.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        listed = [tool["name"] for tool in (await client.ask(LIST))["result"]["tools"]]
    assert "chat" in listed
    assert "search" not in listed
