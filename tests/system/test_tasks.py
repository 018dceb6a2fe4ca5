"""Tasks through a real daemon: at every door, cancelled down to the provider, and with the daemon killed."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from exai_emulator import Emulator, Fault
from support.daemons import StartDaemon, clean_environ
from support.task_client import TASKS, TaskClient, over_http, over_session, over_stdio, over_websocket
from support.waiting import wait_until

SLOWLY = Fault(before_first_byte_ms=3_000)
"""Longer than after what a call becomes a task here."""
NEVER = Fault(before_first_byte_ms=600_000)
SOON = {"EXAI_WORKFLOWS__TASK_AFTER_S": "0.2"}
QUESTION = {"prompt": "What is a heron?", "model": "glm-5.3"}
PROBLEM = {"problem": "Shall we shard?", "model": "glm-5.3"}


@pytest.mark.parametrize("door", ["websocket", "session", "http", "stdio"])
async def test_a_long_call_becomes_a_task_at_every_door(
    start_daemon: StartDaemon,
    provider_environ: dict[str, str],
    emulator: Emulator,
    tmp_path: Path,
    door: str,
) -> None:
    @asynccontextmanager
    async def connected() -> AsyncIterator[TaskClient]:
        if door == "stdio":
            env = clean_environ(tmp_path / "data", {**provider_environ, **SOON})
            async with over_stdio(env, tmp_path) as client:
                yield client
            return
        open_door = {"websocket": over_websocket, "session": over_session, "http": over_http}[door]
        async with (
            start_daemon(**SOON) as daemon,
            open_door(daemon.mcp_http if door == "http" else daemon.mcp_ws) as client,
        ):
            yield client

    async with connected() as client:
        emulator.faults.add("glm", SLOWLY)
        task = await client.call("chat", QUESTION)
        assert (task["resultType"], task["status"]) == ("task", "working")
        assert task["statusMessage"]
        ended = await client.ended(task["taskId"])
        assert ended["status"] == "completed"
        assert "What is a heron?" in ended["result"]["structuredContent"]["answer"]
        assert ended["result"]["_meta"]["exai/report"]["call_id"]
        emulator.faults.add("glm", SLOWLY)
        client.declares = False
        assert (await client.call("chat", QUESTION))["resultType"] == "complete"
    assert len(emulator.log.of("glm")) == 2


async def test_cancelling_reaches_the_providers_connection(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.faults.add("glm", NEVER)
    async with start_daemon(**SOON) as daemon, over_websocket(daemon.mcp_ws) as client:
        task_id = (await client.call("chat", QUESTION))["taskId"]
        await emulator.log.wait_for(lambda record: record.outcome == "open")
        await client.result("tasks/cancel", taskId=task_id)
        await emulator.log.wait_for(lambda record: record.outcome == "disconnected")
        assert (await client.ended(task_id))["status"] == "cancelled"


async def test_a_tools_error_is_a_result(start_daemon: StartDaemon, emulator: Emulator) -> None:
    emulator.faults.add("glm", Fault(before_headers_ms=3_000, status=400))
    async with start_daemon(**SOON) as daemon, over_websocket(daemon.mcp_ws) as client:
        task_id = (await client.call("chat", QUESTION))["taskId"]
        ended = await client.ended(task_id)
        assert (ended["status"], ended["result"]["isError"]) == ("completed", True)


async def killed_during(
    start_daemon: StartDaemon, emulator: Emulator, tool: str, arguments: dict[str, Any], *, at: str
) -> str:
    """Kill the daemon while a provider answers a task; the id of the task."""
    async with start_daemon(**SOON) as daemon, over_websocket(daemon.mcp_ws) as client:
        task_id: str = (await client.call(tool, arguments))["taskId"]
        await emulator.log.wait_for(lambda record: record.provider == at and record.outcome == "open")
        daemon.kill()
        await daemon.ended()
    emulator.faults.clear()
    return task_id


async def test_a_call_whose_daemon_was_killed_is_not_made_twice(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.faults.add("glm", NEVER)
    task_id = await killed_during(start_daemon, emulator, "chat", QUESTION, at="glm")
    async with start_daemon(**SOON) as daemon, over_http(daemon.mcp_http) as client:
        ended = await client.ended(task_id)
        assert (ended["status"], ended["result"]["isError"]) == ("completed", True)
        assert ended["result"]["_meta"]["exai/error"]["code"] == "in_doubt"
        assert "Error" not in ended.get("statusMessage", "")
    assert len(emulator.log.of("glm")) == 1


async def test_a_workflow_goes_on_when_it_is_asked_for(start_daemon: StartDaemon, emulator: Emulator) -> None:
    emulator.faults.add("kimi", NEVER)
    task_id = await killed_during(start_daemon, emulator, "think", PROBLEM, at="kimi")
    asked = len(emulator.log.of("glm") + emulator.log.of("kimi"))
    async with start_daemon(**SOON) as daemon, over_websocket(daemon.mcp_ws) as client:
        await client.request("tasks/get", taskId="task_0")
        assert len(emulator.log.of("glm") + emulator.log.of("kimi")) == asked, "nothing is spent unasked"
        ended = await client.ended(task_id)
        assert (ended["status"], ended["result"]["isError"]) == ("completed", False)
        assert "Shall we shard?" in str(ended["result"]["structuredContent"])
    counted = Counter(
        str(record.body["messages"]) for record in emulator.log.of("glm") + emulator.log.of("kimi")
    )
    assert sorted(counted.values()) == [1, 1, 2], "what had ended was not asked for again"


async def test_a_result_outlives_the_daemon(start_daemon: StartDaemon, emulator: Emulator) -> None:
    emulator.faults.add("glm", SLOWLY)
    async with start_daemon(**SOON) as daemon, over_websocket(daemon.mcp_ws) as client:
        task_id = (await client.call("chat", QUESTION))["taskId"]
        first = await client.ended(task_id)
        # The row is written behind the live task: the second look is at one of the two, and both are the same.
        assert (await client.get(task_id))["result"] == first["result"]
        daemon.kill()
        await daemon.ended()
    async with start_daemon(**SOON) as daemon, over_websocket(daemon.mcp_ws) as client:
        again = await client.ended(task_id)
    kept = again["result"]
    assert kept["structuredContent"] == first["result"]["structuredContent"]
    assert len(emulator.log.of("glm")) == 1


async def test_one_that_a_stop_ends_goes_on_in_the_next_daemon(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.faults.add("glm", NEVER)
    async with (
        start_daemon(**SOON, EXAI_SERVER__DRAIN_S="0.5") as daemon,
        over_websocket(daemon.mcp_ws) as client,
    ):
        task_id = (await client.call("chat", QUESTION))["taskId"]
        await emulator.log.wait_for(lambda record: record.outcome == "open")
        daemon.process.terminate()
        with suppress(ConnectionError, OSError):
            await daemon.ended()
    emulator.faults.clear()
    async with start_daemon(**SOON) as daemon, over_websocket(daemon.mcp_ws) as client:
        ended = await client.ended(task_id)
    assert (ended["status"], ended["result"]["isError"]) == ("completed", False)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_official_clients_are_answered_as_before(
    start_daemon: StartDaemon, emulator: Emulator, mode: Any
) -> None:
    emulator.faults.add("glm", SLOWLY)
    heard: list[str] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message or "")

    async with (
        start_daemon(**SOON) as daemon,
        Client(streamable_http_client(daemon.mcp_http), mode=mode) as client,
    ):
        result = await client.call_tool("chat", QUESTION, progress_callback=on_progress)
    assert result.structured_content is not None
    assert "What is a heron?" in result.structured_content["answer"]
    assert heard


COSTLY = {**SOON, "EXAI_WORKFLOWS__TASK_AFTER_S": "0.001", "EXAI_WORKFLOWS__CONFIRM_ABOVE_USD": "0.0001"}
"""Becomes a task before it is estimated, and asks its user."""
FORMS: dict[str, Any] = {
    "io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}, "elicitation": {}}
}
YES = {"action": "accept", "content": {"allow": True}}


async def asked_of(client: TaskClient, task_id: str) -> str:
    """The key of the form, once the task asks by it."""

    async def asks() -> dict[str, Any] | None:
        task = await client.result("tasks/get", taskId=task_id, _meta=FORMS)
        assert task["status"] in {"working", "input_required"}, task
        return task if task["status"] == "input_required" else None

    ((key, request),) = (await wait_until(asks, what="the task asks its user"))["inputRequests"].items()
    assert request["method"] == "elicitation/create"
    return str(key)


async def killed_while_it_asks(start_daemon: StartDaemon, folder: Path) -> str:
    async with (
        start_daemon(**COSTLY, EXAI_FILES__ROOTS=f'["{folder}"]') as daemon,
        over_websocket(daemon.mcp_ws) as client,
    ):
        given = {**PROBLEM, "workspace": str(folder), "depth": "quick"}
        task_id: str = (await client.call("debug", given, **FORMS))["taskId"]
        await asked_of(client, task_id)
        daemon.kill()
        await daemon.ended()
    return task_id


async def test_a_task_whose_daemon_was_killed_while_it_asks_asks_again(
    start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path
) -> None:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "pool.py").write_text("def take():\n    return 1\n")
    task_id = await killed_while_it_asks(start_daemon, folder)
    async with (
        start_daemon(**COSTLY, EXAI_FILES__ROOTS=f'["{folder}"]') as daemon,
        over_websocket(daemon.mcp_ws) as client,
    ):
        key = await asked_of(client, task_id)
        assert emulator.log.requests == [], "nothing is spent unallowed"
        emulator.faults.add("glm", NEVER)
        await client.result("tasks/update", taskId=task_id, inputResponses={key: YES}, _meta=FORMS)
        await emulator.log.wait_for(lambda record: record.outcome == "open")
        daemon.kill()
        await daemon.ended()
    emulator.faults.clear()
    async with (
        start_daemon(**COSTLY, EXAI_FILES__ROOTS=f'["{folder}"]') as daemon,
        over_websocket(daemon.mcp_ws) as client,
    ):
        ended = await client.ended(task_id)
        assert (ended["status"], ended["result"]["isError"]) == ("completed", False), "the yes holds"
        assert ended["result"]["structuredContent"]["model_used"]


async def test_a_client_without_forms_has_the_estimate_of_a_task_that_asked(
    start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path
) -> None:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "pool.py").write_text("def take():\n    return 1\n")
    task_id = await killed_while_it_asks(start_daemon, folder)
    async with (
        start_daemon(**COSTLY, EXAI_FILES__ROOTS=f'["{folder}"]') as daemon,
        over_websocket(daemon.mcp_ws) as client,
    ):
        ended = await client.ended(task_id)
        assert ended["result"]["structuredContent"]["next_call"]["budget_usd"]
    assert emulator.log.requests == []
