"""What `exai stdio` answers before its engine stands, in the process that clients start."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from exai.tools.listing.profiles import ORDER
from exai.transports.key_advice import advice_for
from support.daemons import clean_environ
from support.stdio_client import HELLO, ForkedClient, forked
from support.waiting import wait_until

Message = dict[str, Any]
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
LIST = {"jsonrpc": "2.0", "id": "list", "method": "tools/list"}


def hello(name: str = "t", **other: Any) -> Message:
    params = {**HELLO, "clientInfo": {"name": name, "version": "1"}, **other}
    return {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}


def call(number: int, tool: str, **arguments: Any) -> Message:
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


class Held:
    """A process whose engine waits for its settings, which a pipe holds back."""

    def __init__(self, client: ForkedClient, gate: Path) -> None:
        self.client = client
        self._gate = gate

    async def release(self, settings: str = "") -> None:
        """Let the start go on with these settings."""
        await asyncio.to_thread(self._gate.write_text, settings)


@asynccontextmanager
async def held(tmp_path: Path, **environ: str) -> AsyncIterator[Held]:
    gate = tmp_path / "exai.toml"
    os.mkfifo(gate, 0o600)
    env = clean_environ(tmp_path / "data", {"EXAI_CONFIG": str(gate), **environ})
    async with forked("exai.cli", "stdio", env=env, cwd=tmp_path) as client:
        yield Held(client, gate)


async def open_by(client: ForkedClient, name: str = "t") -> tuple[Message, Message]:
    """Shake hands and ask for the list of tools; both answers."""
    initialize = await client.ask(hello(name))
    await client.send(INITIALIZED)
    return initialize, await client.ask(LIST)


async def test_handshake_ping_and_list_are_answered_before_the_engine_stands(tmp_path: Path) -> None:
    async with held(tmp_path) as process:
        ping = {"jsonrpc": "2.0", "id": 7, "method": "ping"}
        assert (await process.client.ask(ping)) == {"jsonrpc": "2.0", "id": 7, "result": {}}
        initialize, listing = await open_by(process.client)
        assert initialize["result"]["serverInfo"]["name"] == "exai"
        assert [tool["name"] for tool in listing["result"]["tools"]] == list(ORDER)
        await process.release()
        assert (await process.client.ask(LIST)) == listing, "the engine itself answers the same"


async def test_a_call_waits_for_the_engine_and_what_follows_keeps_its_order(tmp_path: Path) -> None:
    async with held(tmp_path) as process:
        await open_by(process.client)
        await process.client.send(call(1, "models"))
        await process.client.send({"jsonrpc": "2.0", "id": 2, "method": "initialize", "params": {}})
        await process.release()
        answers = {(answer := await process.client.next())["id"]: answer for _ in range(2)}
        assert answers[1]["result"]["isError"] is False
        assert "error" in answers[2]


async def test_the_engine_knows_the_client_that_the_opening_greeted(tmp_path: Path) -> None:
    async with held(tmp_path) as process:
        initialize = await process.client.ask(hello("codex-mcp-client", protocolVersion="2025-03-26"))
        assert initialize["result"]["protocolVersion"] == "2025-03-26"
        await process.release()
        refused = (await process.client.ask(call(1, "chat", prompt="x")))["result"]
        assert refused["_meta"]["exai/error"]["code"] == "provider_unconfigured"
        text = refused["content"][0]["text"]
        assert "~/.codex/config.toml" in text
        assert "secrets/providers.kimi.api_key" in text


@pytest.mark.parametrize(
    "first",
    [
        LIST,
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": 5}},
        hello(capabilities={"roots": 5}),
        {"jsonrpc": "2.0", "id": True, "method": "ping"},
        b'{"jsonrpc": "2.0", "id": 1, "method":',
        b"[" * 10_000,
        b"x" * 70_000,
    ],
)
async def test_what_only_the_engine_can_judge_waits_for_it(tmp_path: Path, first: Any) -> None:
    async with held(tmp_path) as process:
        await process.client.send(first)
        await process.release()
        assert "error" in await process.client.next()
        initialize, _ = await open_by(process.client)
        assert "result" in initialize


async def test_a_long_call_that_came_early_arrives_whole(tmp_path: Path) -> None:
    async with held(tmp_path) as process:
        await open_by(process.client)
        await asyncio.gather(process.client.send(call(1, "chat", prompt="x" * 500_000)), process.release())
        assert (await process.client.next())["result"]["_meta"]["exai/error"][
            "code"
        ] == "provider_unconfigured"


async def test_a_line_above_the_limit_is_refused_although_it_came_early(tmp_path: Path) -> None:
    async with held(tmp_path) as process:
        await open_by(process.client)
        await process.client.send(call(1, "chat", prompt="x" * 2_000))
        await process.release("websocket.max_frame_bytes = 1000\n")
        assert "1000 bytes" in (await process.client.next())["error"]["message"]
        assert "result" in await process.client.ask({"jsonrpc": "2.0", "id": 2, "method": "ping"})


@pytest.mark.parametrize("early", [True, False])
async def test_a_start_that_fails_tells_the_first_call_why_and_ends(tmp_path: Path, early: bool) -> None:
    async with held(tmp_path) as process:
        await open_by(process.client)
        if early:
            await process.client.send(call(1, "chat", prompt="x" * 100_000))
        await process.release("server.prot = 1\n")
        await wait_until(lambda: b"server.prot" in process.client.log, what="stderr has the sentence at once")
        if not early:
            resources = {"jsonrpc": "2.0", "id": 3, "method": "resources/list"}
            assert "server.prot" in (await process.client.ask(resources))["error"]["message"]
            assert "tools" in (await process.client.ask(LIST))["result"]
            await process.client.send(call(1, "chat", prompt="x"))
        told = (await process.client.next())["result"]
        assert told["isError"] is True
        assert "`server.prot`" in told["content"][0]["text"]
        assert told["_meta"]["exai/error"]["code"] == "cannot_start"
        assert await process.client.ended() == 2
        assert process.client.log.count(b"server.prot") == 1
        assert b"Traceback" not in process.client.log


async def test_a_start_that_fails_ends_with_its_client(tmp_path: Path) -> None:
    async with held(tmp_path) as process:
        await open_by(process.client)
        await process.release("server.prot = 1\n")
        process.client.stdin.close()
        assert await process.client.ended() == 2


async def test_a_start_that_fails_before_anybody_spoke_ends_at_once(tmp_path: Path) -> None:
    async with held(tmp_path) as process:
        await process.release("server.prot = 1\n")
        assert await process.client.ended() == 2
        assert b"server.prot" in process.client.log


async def test_without_a_key_everything_but_models_answers(tmp_path: Path) -> None:
    async with held(tmp_path) as process:
        await process.release()
        await open_by(process.client)
        for tool in ("models", "status"):
            assert (await process.client.ask(call(1, tool)))["result"]["isError"] is False


@pytest.mark.parametrize(
    ("client", "names"),
    [
        ("codex-mcp-client", "env_vars"),
        ("gemini-cli-mcp-client", "settings.json"),
        ("mcp-inspector", "Environment Variables"),
        ("claude-code", ".mcp.json"),
        ("claude-ai", "claude_desktop_config.json"),
        ("cursor-vscode", ".cursor/mcp.json"),
        ("Visual Studio Code", ".vscode/mcp.json"),
        ("opencode", "opencode.json"),
        ("somebody else", "this client's entry"),
        ("", "this client's entry"),
    ],
)
def test_each_client_is_told_its_own_way(client: str, names: str) -> None:
    assert names in advice_for(client)
