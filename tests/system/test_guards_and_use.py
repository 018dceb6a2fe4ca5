"""Hourly guards, repeated questions and counted names, through the daemon and over its restart."""

import json
from pathlib import Path
from typing import Any

from exai.config import Guards
from support.commands import run_exai
from support.daemons import StartDaemon, clean_environ
from support.mcp_websocket import McpSocket, mcp_socket
from support.waiting import wait_until


async def chat(socket: McpSocket, prompt: str) -> dict[str, Any]:
    return await socket.tool("chat", {"prompt": prompt, "model": "glm-5.3"})


async def test_a_guard_holds_over_a_restart_and_names_are_counted(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    environ = {"EXAI_GUARDS__CALLS_PER_HOUR": "2"}
    async with start_daemon(**environ) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        assert not (await chat(socket, "A private question."))["isError"]
        await socket.tool("chat", {"prompt": "Hi.", "modle": "glm-5.3"})
    async with start_daemon(**environ) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        assert not (await chat(socket, "Two."))["isError"], "a wrong call has cost nothing"
        refused = await chat(socket, "Three.")
        assert refused["_meta"]["exai/error"]["code"] == "hourly_limit"
        assert "2 of the 2 calls" in refused["content"][0]["text"]

        async def counted() -> Any:
            result = await socket.tool("status", {"section": "usage"})
            names = result["structuredContent"]["names"]
            return [row for row in names if row["name"] == "chat" and row["calls"] == 4] and result

        shown = await wait_until(counted, what="the calls of both daemons are counted", within=90)
        assert "argument prompt: 4, 2" in shown["content"][0]["text"]
    env = clean_environ(tmp_path / "data")
    output = (await run_exai("usage", "--names", "--json", env=env, cwd=tmp_path)).out
    rows = {(row["kind"], row["name"]): row["calls"] for row in json.loads(output) if row["tool"] == "chat"}
    assert rows["client", "test"] == 4
    assert rows["argument", "(unknown)"] == 1
    assert rows["model", "glm-5.3"] >= 2
    assert "private" not in output
    assert "modle" not in output


async def test_a_question_over_and_over_is_asked_twice(start_daemon: StartDaemon) -> None:
    repeats = str(Guards().repeats)
    async with start_daemon(EXAI_GUARDS__REPEATS=repeats) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        answers = [await chat(socket, "Why is the sky blue?") for _ in range(4)]
    handles = [answer["structuredContent"]["continuation_id"] for answer in answers]
    assert handles[0] != handles[1]
    assert handles[2:] == [handles[0], handles[0]]
    assert answers[3]["_meta"]["exai/repeated"] == {"times": 4}
    head, note, *_ = answers[3]["content"][0]["text"].splitlines()
    assert handles[0] in head, "the handle stands first"
    assert note.startswith("Note: This is the answer")
    assert next(iter(answers[3]["structuredContent"])) == "continuation_id"
