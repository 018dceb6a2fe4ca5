"""The main job, over real processes: answers, conversations across doors, restarts and crashes."""

import asyncio
import itertools
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from exai_emulator import Emulator, Fault, Persona
from support.daemon_in_process import StartInProcess
from support.daemons import StartDaemon
from support.mcp_websocket import McpSocket, mcp_socket
from support.virtual_time import now
from support.waiting import wait_until


async def failures(socket: McpSocket) -> list[dict[str, Any]]:
    """The caller's latest failed calls."""
    result = await socket.tool("status", {"section": "errors"})
    errors: list[dict[str, Any]] = result["structuredContent"]["errors"]
    return errors


async def test_a_conversation_goes_on_over_another_door_and_after_kill_9(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    async with start_daemon() as daemon:
        async with mcp_socket(daemon.mcp_ws) as socket:
            first = await socket.tool("chat", {"prompt": "The secret word is Bergamot.", "model": "glm-5.3"})
        handle = first["structuredContent"]["continuation_id"]
        assert first["structuredContent"]["exchanges_remaining"] == 49
        async with Client(daemon.mcp_http) as client:
            over_http = await client.call_tool(
                "chat", {"prompt": "What was the secret word?", "continuation_id": handle}
            )
        assert "Bergamot" in over_http.structured_content["answer"]
        assert over_http.structured_content["exchanges_remaining"] == 48
        daemon.kill()
        await daemon.ended()
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        third = await socket.tool("chat", {"prompt": "Recall the secret word.", "continuation_id": handle})
    assert "Bergamot" in third["structuredContent"]["answer"]
    assert third["structuredContent"]["exchanges_remaining"] == 47
    asked = [request.body["messages"] for request in emulator.log.requests if request.body]
    assert [sum(message["role"] == "user" for message in messages) for messages in asked] == [1, 2, 3]
    assert "Bergamot" in str(asked[1])


async def test_a_call_that_a_crash_cut_off_is_marked_lost_and_its_conversation_is_whole(
    start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path
) -> None:
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        first = await socket.tool("chat", {"prompt": "The secret word is Anise.", "model": "kimi-k3"})
        handle = first["structuredContent"]["continuation_id"]
        emulator.faults.add("kimi", Fault(before_first_byte_ms=60_000))
        await socket.begin_tool("chat", {"prompt": "Say more.", "continuation_id": handle})
        await emulator.log.wait_for(lambda record: "Say more." in str(record.body))
        daemon.kill()
        await daemon.ended()
    emulator.faults.clear()
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        again = await socket.tool("chat", {"prompt": "What was the secret word?", "continuation_id": handle})
        status = await socket.tool("status", {"section": "errors"})
    assert "Anise" in again["structuredContent"]["answer"]
    assert again["structuredContent"]["exchanges_remaining"] == 48
    assert [error["outcome"] for error in status["structuredContent"]["errors"]] == ["lost"]
    with sqlite3.connect(tmp_path / "data" / "exai.sqlite") as database:
        outcomes = [row[0] for row in database.execute("SELECT outcome FROM calls ORDER BY began_at")]
    assert outcomes == ["ok", "lost", "ok"]


async def test_a_slow_call_delays_nobody(start_daemon: StartDaemon, emulator: Emulator) -> None:
    emulator.faults.add("glm", Fault(before_first_byte_ms=60_000))
    async with (
        start_daemon() as daemon,
        mcp_socket(daemon.mcp_ws) as same,
        mcp_socket(daemon.mcp_ws) as other,
    ):
        number, slow = await same.begin_tool("chat", {"prompt": "Take your time.", "model": "glm-5.3"})
        await emulator.log.wait_for(lambda record: record.outcome == "open")
        for socket in (same, other):
            async with asyncio.timeout(30):
                assert (await socket.request("ping"))["result"] == {}
                assert (await socket.tool("models"))["structuredContent"]["providers"]
                assert (await socket.tool("chat", {"prompt": "Hi.", "model": "kimi-k3"}))["isError"] is False
        assert not slow.done()
        await same.cancel(number)
        await emulator.log.wait_for(lambda record: record.outcome == "disconnected")


async def test_cancelling_closes_the_providers_connection(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.persona = Persona(kind="long", tokens=5000, delay_per_token_ms=20)
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        growing = asyncio.Event()
        number, _ = await socket.begin_tool(
            "chat", {"prompt": "A long story.", "model": "glm-5.3"}, lambda _: growing.set()
        )
        await growing.wait()
        await socket.cancel(number)
        await emulator.log.wait_for(lambda record: record.outcome == "disconnected")
        errors = await wait_until(lambda: failures(socket), what="the cancelled call is in the journal")
    assert [error["outcome"] for error in errors] == ["cancelled"]


async def test_a_client_that_vanishes_cancels_its_calls(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.persona = Persona(kind="long", tokens=5000, delay_per_token_ms=20)
    async with start_daemon() as daemon:
        async with mcp_socket(daemon.mcp_ws) as socket:
            await socket.begin_tool("chat", {"prompt": "A long story.", "model": "glm-5.3"})
            await emulator.log.wait_for(lambda record: record.outcome == "open")
            socket.socket.transport.abort()
        await emulator.log.wait_for(lambda record: record.outcome == "disconnected")


async def test_the_answer_grows_by_progress_and_arrives_whole(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.persona = Persona(kind="long", tokens=100, delay_per_token_ms=5)
    heard: list[Any] = []
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        result = await socket.tool("chat", {"prompt": "A story.", "model": "glm-5.3"}, heard.append)
    text = "".join(each["_meta"]["exai/delta"] for each in heard if each["_meta"]["exai/kind"] == "text")
    assert text == result["structuredContent"]["answer"]
    assert len(heard) >= 3
    numbers = [each["progress"] for each in heard]
    assert numbers == sorted(set(numbers))


@pytest.mark.virtual_time
async def test_a_silent_provider_is_reported_at_least_every_five_seconds(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.faults.add("glm", Fault(before_first_byte_ms=61_000))
    async with start_in_process() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        moments = [now()]
        await socket.tool("chat", {"prompt": "Think.", "model": "glm-5.3"}, lambda _: moments.append(now()))
        moments.append(now())
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert sum(gaps) == pytest.approx(61)
    assert max(gaps) <= 5


async def test_the_stage_timings_add_up_to_the_latency(start_daemon: StartDaemon) -> None:
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        result = await socket.tool("chat", {"prompt": "Hello.", "model": "glm-5.3"})
    timings = result["_meta"]["exai/report"]["timings"]
    latency = timings.pop("latency_ms")
    assert set(timings) >= {
        "session_wait_ms",
        "global_sem_wait_ms",
        "provider_sem_wait_ms",
        "connect_ms",
        "first_token_ms",
        "generation_ms",
        "store_ms",
        "processing_ms",
    }
    assert abs(sum(timings.values()) - latency) < 1.0


async def test_an_exhausted_conversation_says_so_and_loses_nothing(start_daemon: StartDaemon) -> None:
    async with (
        start_daemon(EXAI_CONVERSATIONS__MAX_EXCHANGES="2") as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        first = (await socket.tool("chat", {"prompt": "One."}))["structuredContent"]
        more = {"prompt": "Two.", "continuation_id": first["continuation_id"]}
        second = (await socket.tool("chat", more))["structuredContent"]
        third = await socket.tool("chat", more)
        fourth = await socket.tool("chat", more)
    assert (first["exchanges_remaining"], second["exchanges_remaining"]) == (1, 0)
    for refused in (third, fourth):
        assert refused["isError"]
        assert refused["_meta"]["exai/error"]["code"] == "conversation_full"
        assert "new" in refused["content"][0]["text"]
