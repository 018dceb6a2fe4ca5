"""Prompts and their completion, by official clients through a daemon's real doors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import mcp_types as types
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from support.daemons import Daemon, StartDaemon

pytestmark = pytest.mark.sqlite
MODES = {"2025-11-25": "legacy", "2026-07-28": "auto"}


@asynccontextmanager
async def connected(daemon: Daemon, revision: str) -> AsyncIterator[Client]:
    async with Client(streamable_http_client(daemon.mcp_http), mode=MODES[revision]) as client:
        assert client.protocol_version == revision
        yield client


async def words_of(client: Client, name: str, **arguments: str) -> str:
    (message,) = (await client.get_prompt(name, arguments)).messages
    assert message.role == "user"
    assert isinstance(message.content, types.TextContent)
    return message.content.text


async def completed(client: Client, name: str, argument: str, typed: str = "") -> list[str]:
    ref = types.PromptReference(type="ref/prompt", name=name)
    return (await client.complete(ref, {"name": argument, "value": typed})).completion.values


@pytest.mark.parametrize("revision", MODES)
async def test_every_tool_is_a_prompt_whose_arguments_are_optional(
    start_daemon: StartDaemon, revision: str
) -> None:
    async with start_daemon() as daemon, connected(daemon, revision) as client:
        assert client.server_capabilities.prompts is not None
        assert client.server_capabilities.completions is not None
        tools = [tool.name for tool in (await client.list_tools()).tools]
        prompts = (await client.list_prompts()).prompts
        assert [prompt.name for prompt in prompts] == [*tools, "continue"]
        assert not any(argument.required for prompt in prompts for argument in prompt.arguments or ())
        assert all(prompt.title and prompt.description for prompt in prompts)
        for name in tools:
            assert f"Call the tool `{name}` of EXAI." in await words_of(client, name)
        asked = await words_of(client, "debug", problem="The pool leaks.", depth="deep")
        assert "`problem`:\nThe pool leaks." in asked
        assert "`depth`:\ndeep" in asked
        assert "It needs `prompt` too" in await words_of(client, "chat", model=" ")
        with pytest.raises(MCPError, match="This server has: chat, "):
            await client.get_prompt("nothing", {})
        with pytest.raises(MCPError, match="no argument 'nothing'"):
            await client.get_prompt("chat", {"nothing": "x"})
        with pytest.raises(MCPError, match="tool `files`"):
            await client.get_prompt("chat", {"prompt": "x" * 100_001})


async def test_arguments_are_completed_from_what_is_there(start_daemon: StartDaemon) -> None:
    async with start_daemon() as daemon, connected(daemon, "2026-07-28") as client:
        assert "There is no conversation in EXAI yet" in await words_of(client, "continue")
        assert await completed(client, "continue", "continuation_id") == []
        handles = []
        for question in ("Why does the pool leak?", "Where is it opened?"):
            result = await client.call_tool("chat", {"prompt": question, "model": "glm-5.3"})
            assert result.structured_content is not None
            handles.append(result.structured_content["continuation_id"])
        assert set(await completed(client, "continue", "continuation_id")) == set(handles)
        assert await completed(client, "chat", "continuation_id", handles[0][:12]) == [handles[0]]
        latest = await words_of(client, "continue", prompt="And then?")
        assert all(handle in latest for handle in handles)
        assert "begins: 'Why does the pool leak?'" in latest
        assert "And then?" in latest
        named = await words_of(client, "continue", continuation_id=handles[0])
        assert handles[0] in named
        assert handles[1] not in named
        models = await completed(client, "chat", "model", "GLM-5")
        assert "glm-5.3" in models
        assert all(model.startswith("glm-5") for model in models)
        assert "glm-5.3, kimi-k3" in await completed(client, "consensus", "models", "glm-5.3, kimi")
        assert await completed(client, "debug", "depth", "de") == ["deep"]
        assert await completed(client, "chat", "prompt", "x") == []
        for name, argument in (("nothing", "model"), ("chat", "nothing")):
            with pytest.raises(MCPError, match="no such prompt"):
                await completed(client, name, argument)
        for template, typed, expected in (
            ("exai://schema/{tool}", "de", ["debug"]),
            ("exai://conversations/{id}", handles[1], [handles[1]]),
            ("exai://nothing/{id}", "", []),
        ):
            ref = types.ResourceTemplateReference(type="ref/resource", uri=template)
            found = await client.complete(ref, {"name": "id", "value": typed})
            assert found.completion.values == expected, template
        schema = (await client.read_resource("exai://schema/debug")).contents[0]
        assert isinstance(schema, types.TextResourceContents)
        assert "backtrack_from_step" in schema.text, "what the list leaves out is there"


async def test_plans_are_offered_to_their_owner(start_daemon: StartDaemon) -> None:
    async with start_daemon() as daemon, connected(daemon, "2025-11-25") as client:
        made = await client.call_tool("plan", {"step": "Ship it", "step_number": 1, "total_steps": 2})
        assert made.structured_content is not None
        plan_id = made.structured_content["plan_id"]
        assert await completed(client, "plan", "plan_id") == [plan_id]
        assert f"exai://plans/{plan_id}" in [each.uri for each in (await client.list_resources()).resources]
