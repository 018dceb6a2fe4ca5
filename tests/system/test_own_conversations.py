"""One's own conversations through the daemon: found, copied, renamed, summed up; and from the terminal."""

from pathlib import Path
from typing import Any

from support.commands import run_exai
from support.daemons import StartDaemon, clean_environ
from support.mcp_websocket import McpSocket, mcp_socket


async def asked(socket: McpSocket, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await socket.tool(tool, arguments)
    assert not result["isError"], result
    return dict(result["structuredContent"])


async def exai(tmp_path: Path, environ: dict[str, str], *arguments: str) -> str:
    env = clean_environ(tmp_path / "data", environ)
    ended = await run_exai(*arguments, env=env, cwd=tmp_path)
    assert ended.code == 0, ended
    return ended.out + ended.notes


async def test_a_conversation_is_found_copied_and_summed_up(
    start_daemon: StartDaemon, tmp_path: Path, provider_environ: dict[str, str]
) -> None:
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        first = await asked(socket, "chat", prompt="Tell me of herons.", model="glm-5.3")
        handle = first["continuation_id"]
        for prompt in ("Where do they nest?", "What do they eat?"):
            await asked(socket, "chat", prompt=prompt, continuation_id=handle)
        forked = await asked(socket, "chat", prompt="And owls?", continuation_id=handle, fork=True)
        assert forked["continuation_id"] != handle
        found = await asked(socket, "conversations", action="search", text="NEST they")
        assert {item["continuation_id"] for item in found["items"]} == {handle, forked["continuation_id"]}
        await asked(socket, "conversations", action="rename", continuation_id=handle, text="Herons")
        compacted = await asked(
            socket, "conversations", action="compact", continuation_id=handle, keep=1, model="glm-5.3"
        )
        assert "its first 2 exchanges" in compacted["answer"]
        shown = await asked(socket, "conversations", action="show", continuation_id=handle)
        assert "Tell me of herons." in shown["answer"], "originals stay"
        listed = (await asked(socket, "status", section="conversations"))["conversations"]
        mine = next(item for item in listed if item["continuation_id"] == handle)
        assert (mine["title"], mine["summarized"]) == ("Herons", 2)
        calls = (await asked(socket, "toolcall_log_tail"))["calls"]
        assert {call["outcome"] for call in calls} == {"ok"}
        assert (await asked(socket, "self-check"))["doctor"]
        unknown = await socket.tool("conversations", {"action": "show", "continuation_id": "conv_none"})
        assert unknown["_meta"]["exai/error"]["code"] == "unknown_conversation"
        lacking = await socket.tool("conversations", {"action": "fork"})
        assert "needs `continuation_id`" in lacking["content"][0]["text"]
    assert handle in await exai(tmp_path, {}, "conversations", "search", "herons")
    copy = (await exai(tmp_path, {}, "conversations", "fork", handle, "--to", "1")).strip()
    shown_copy = await exai(tmp_path, {}, "conversations", "show", copy)
    assert "Tell me of herons." in shown_copy
    assert "nest" not in shown_copy
    await exai(tmp_path, {}, "conversations", "rename", copy, "A copy")
    assert "A copy" in await exai(tmp_path, {}, "conversations", "list")
    summed_up = await exai(tmp_path, provider_environ, "conversations", "compact", handle, "--keep", "0")
    assert "its first 3 exchanges" in summed_up
