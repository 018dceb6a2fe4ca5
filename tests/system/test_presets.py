"""Each value of each preset, seen in what a running daemon does."""

import asyncio
import json
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from exai.config.presets import PRESETS
from exai_emulator import Emulator, Persona
from support.daemon_in_process import StartInProcess
from support.daemons import EXAI, Daemon, StartDaemon, clean_environ
from support.mcp_websocket import mcp_socket
from support.session_socket import session_socket
from support.virtual_time import now
from support.waiting import wait_until

SILENT = Persona(kind="echo", first_byte_delay_ms=120_000)
DEFAULT_SESSIONS, DEFAULT_QUEUE = 1_000, 512
every_preset = pytest.mark.parametrize("preset", PRESETS)


async def _metric(daemon: Daemon, name: str) -> float:
    async with aiohttp.ClientSession() as client, client.get(f"{daemon.operations}/metrics") as response:
        page = await response.text()
    return float(next(line for line in page.splitlines() if line.startswith(f"{name} ")).split()[1])


async def _metric_is(daemon: Daemon, name: str, least: float) -> bool:
    return await _metric(daemon, name) >= least


@every_preset
async def test_sessions_last_and_are_as_many_as_it_says(start_daemon: StartDaemon, preset: str) -> None:
    grace_s, most = PRESETS[preset]["sessions.grace_s"], int(PRESETS[preset]["sessions.max_sessions"])
    async with start_daemon(EXAI_PRESET=preset) as daemon, AsyncExitStack() as held:
        answers: list[dict[str, Any]] = []
        for _ in range(min(most, DEFAULT_SESSIONS) + 1):
            async with AsyncExitStack() as scope:
                socket = await scope.enter_async_context(session_socket(daemon.mcp_ws))
                answers.append(await socket.open())
                if most < DEFAULT_SESSIONS:  # else each outlives its socket by long enough
                    await held.enter_async_context(scope.pop_all())
        assert {answer["grace_s"] for answer in answers[:-1]} == {grace_s}
        if most < DEFAULT_SESSIONS:
            assert answers[-1]["code"] == "too_many_sessions"
        else:
            assert answers[-1]["t"] == "opened"


@every_preset
async def test_one_connection_may_have_as_many_calls_in_flight_as_it_says(
    start_daemon: StartDaemon, emulator: Emulator, preset: str
) -> None:
    emulator.persona = SILENT
    most = int(PRESETS[preset]["websocket.max_in_flight"])
    async with start_daemon(EXAI_PRESET=preset) as daemon, mcp_socket(daemon.mcp_ws) as client:
        begun = [
            (await client.begin_tool("chat", {"prompt": "Wait.", "model": "glm-5.3"}))[1] for _ in range(most)
        ]
        error = (await client.request("tools/call", {"name": "models"}))["error"]
        assert error["code"] == -32003
        assert str(most) in error["message"]
        assert not any(answer.done() for answer in begun)


@pytest.mark.parametrize("preset", ["development", "testing"])
async def test_as_many_calls_run_and_wait_as_it_says(
    start_daemon: StartDaemon, emulator: Emulator, preset: str
) -> None:
    emulator.persona = SILENT
    values = PRESETS[preset]
    running, waiting = int(values["admission.global_limit"]), int(values["admission.max_queue"])
    per_socket = int(values["websocket.max_in_flight"])
    async with (
        start_daemon(EXAI_PRESET=preset, EXAI_ADMISSION__MAX_WAIT_S="600") as daemon,
        AsyncExitStack() as scopes,
    ):
        sockets = [
            await scopes.enter_async_context(mcp_socket(daemon.mcp_ws))
            for _ in range((running + waiting) // per_socket + 1)
        ]
        call = {"prompt": "Wait.", "model": "glm-5.3"}
        for number in range(running + waiting):
            await sockets[number % len(sockets)].begin_tool("chat", call)
        await wait_until(
            lambda: _metric_is(daemon, "exai_calls_waiting", waiting), within=90, what=f"{waiting} calls wait"
        )
        refused = await sockets[0].tool("chat", call)
        assert refused["_meta"]["exai/error"]["code"] == "overloaded"
        await emulator.log.wait_for(lambda _: len(emulator.log.requests) == running)
        assert await _metric(daemon, "exai_calls_running") == running + waiting


async def test_in_production_more_calls_wait_than_by_default(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.persona = SILENT
    async with (
        start_daemon(EXAI_PRESET="production", EXAI_ADMISSION__MAX_WAIT_S="600") as daemon,
        AsyncExitStack() as scopes,
    ):
        sockets = [await scopes.enter_async_context(mcp_socket(daemon.mcp_ws)) for _ in range(3)]
        begun = [
            (await socket.begin_tool("chat", {"prompt": "Wait.", "model": "glm-5.3"}))[1]
            for socket in sockets
            for _ in range(200)
        ]
        waiting = DEFAULT_QUEUE + 1
        await wait_until(
            lambda: _metric_is(daemon, "exai_calls_waiting", waiting), within=90, what=f"{waiting} calls wait"
        )
        assert not any(answer.done() for answer in begun)


@pytest.mark.virtual_time
@every_preset
async def test_a_stop_waits_as_long_as_it_says(
    start_in_process: StartInProcess, emulator: Emulator, preset: str
) -> None:
    emulator.persona = SILENT
    drain_s = float(PRESETS[preset]["server.drain_s"])
    async with start_in_process(EXAI_PRESET=preset) as daemon, mcp_socket(daemon.mcp_ws) as client:
        _, answer = await client.begin_tool("chat", {"prompt": "Wait.", "model": "glm-5.3"})
        await emulator.log.wait_for(lambda record: record.outcome == "open")
        daemon.signal()
        signalled_at = now()
        result = (await answer)["result"]
        assert result["_meta"]["exai/error"]["code"] == "stopping"
        assert now() - signalled_at == pytest.approx(drain_s)
        await daemon.ended()


@pytest.mark.parametrize("preset", ["development", "testing"])
async def test_it_says_what_is_logged_and_how(
    start_daemon: StartDaemon, emulator: Emulator, preset: str
) -> None:
    emulator.persona = SILENT
    async with start_daemon(EXAI_PRESET=preset) as daemon, mcp_socket(daemon.mcp_ws) as client:
        await client.begin_tool("chat", {"prompt": "Wait.", "model": "glm-5.3"})
        await emulator.log.wait_for(lambda record: record.outcome == "open")
        daemon.process.send_signal(signal.SIGTERM)
        assert await daemon.ended() == 0
    assert "running calls are ended" in daemon.log
    if preset == "development":
        assert '{"' not in daemon.log, "no lines for people"
    else:
        assert {json.loads(line)["level"] for line in daemon.log.splitlines() if line.startswith('{"')} == {
            "warning"
        }


async def test_in_production_a_stop_may_take_long_and_a_terminal_gets_json(tmp_path: Path) -> None:
    """By default a terminal gets coloured lines."""
    theirs, ours = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *EXAI,
        "serve",
        "--demo",
        "--ready-json",
        env=clean_environ(tmp_path / "data", {"EXAI_PRESET": "production"}),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=ours,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        addresses = json.loads(await process.stdout.readline())
    async with mcp_socket(addresses["mcp_ws"]) as client:
        await client.request("ping")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    os.close(ours)
    shown = await asyncio.to_thread(_all_of, theirs)
    lines = [json.loads(line) for line in shown.splitlines() if line.startswith("{") and line.endswith("}")]
    stopping = next(line for line in lines if line["event"] == "stopping")
    assert stopping["drain_s"] == PRESETS["production"]["server.drain_s"]


def _all_of(terminal: int) -> str:
    """What stands in a terminal whose other end was closed."""
    pieces = []
    try:
        while piece := os.read(terminal, 65_536):
            pieces.append(piece)
    except OSError:  # Linux's word for the end
        pass
    os.close(terminal)
    return b"".join(pieces).decode(errors="replace")
