"""Start and stop of the daemon: what it says, what it refuses, how it leaves."""

import asyncio
import json
import signal
import socket
import sqlite3
import urllib.request
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from exai_emulator import Emulator, Persona
from support.daemons import EXAI, StartDaemon, clean_environ, daemon
from support.mcp_websocket import mcp_socket
from support.waiting import wait_until


async def refused(tmp_path: Path, *arguments: str, **environ: str) -> str:
    """What `exai serve` says on stderr when it refuses to start."""
    process = await asyncio.create_subprocess_exec(
        *EXAI,
        "serve",
        *arguments,
        env=clean_environ(tmp_path / "data", environ),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode == 2, err
    assert out == b""
    sentence = err.decode()
    assert sentence.startswith("exai: ")
    assert "Traceback" not in sentence
    assert sentence.count("\n") == 1
    return sentence


async def test_no_provider_configured_is_one_sentence(tmp_path: Path) -> None:
    sentence = await refused(tmp_path)
    assert "GLM_API_KEY" in sentence
    assert "--demo" in sentence


async def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence = await refused(tmp_path, "--set", f"server.port={port}", "--demo")
    assert str(port) in sentence
    assert "`--set server.port=PORT`" in sentence
    assert "EXAI is running" not in sentence


async def test_a_second_start_says_that_exai_is_running_there(tmp_path: Path) -> None:
    async with daemon(data_dir=tmp_path / "data", arguments=("--demo",)) as running:
        port, operations_port = (urlsplit(url).port for url in (running.mcp_http, running.operations))
        ports = [f"server.port={port}", f"server.operations_port={operations_port}"]
        sentence = await refused(tmp_path, "--set", ports[0], "--set", ports[1], "--demo")
    assert f"Port {port} on 127.0.0.1 cannot be opened: EXAI is running there already" in sentence
    assert "`--set server.port=PORT`" in sentence


async def test_a_key_of_the_wrong_shape_is_one_sentence_without_the_key(tmp_path: Path) -> None:
    sentence = await refused(tmp_path, GLM_API_KEY="not a key canary")
    assert "GLM_API_KEY" in sentence
    assert "canary" not in sentence


async def test_an_unwritable_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    sentence = await refused(tmp_path, "--demo", EXAI_DATA_DIR=str(tmp_path / "file" / "data"))
    assert "data_dir" in sentence


async def test_an_unknown_setting_names_the_nearest_one(tmp_path: Path) -> None:
    sentence = await refused(tmp_path, "--demo", EXAI_SERVER__PROT="1")
    assert "server.port" in sentence


async def test_binding_elsewhere_without_authentication_is_refused(tmp_path: Path) -> None:
    sentence = await refused(tmp_path, "--demo", EXAI_SERVER__HOST="0.0.0.0")
    assert "server.host" in sentence


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_lets_running_calls_finish_and_exits_0(
    start_daemon: StartDaemon, emulator: Emulator, number: signal.Signals
) -> None:
    emulator.persona = Persona(kind="long", tokens=60, delay_per_token_ms=20)
    async with start_daemon() as daemon:
        async with mcp_socket(daemon.mcp_ws) as client:
            growing = asyncio.Event()
            _, answer = await client.begin_tool(
                "chat", {"prompt": "A story.", "model": "glm-5.3"}, lambda _: growing.set()
            )
            await growing.wait()
            daemon.process.send_signal(number)
            result = (await answer)["result"]
        assert result["isError"] is False
        assert await daemon.ended() == 0


async def test_while_calls_end_others_see_that_the_process_drains(
    start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = Persona(kind="long", tokens=5000, delay_per_token_ms=20)

    async def state() -> str:
        with closing(sqlite3.connect(tmp_path / "data" / "exai.sqlite")) as database:
            return str(database.execute("SELECT state FROM replicas").fetchone()[0])

    async def is_draining() -> bool:
        return await state() == "draining"

    async with start_daemon() as daemon:
        async with mcp_socket(daemon.mcp_ws) as client:
            growing = asyncio.Event()
            number, _ = await client.begin_tool(
                "chat", {"prompt": "A story.", "model": "glm-5.3"}, lambda _: growing.set()
            )
            await growing.wait()
            assert await state() == "serving"
            daemon.process.send_signal(signal.SIGTERM)
            await wait_until(is_draining, what="its row says that it drains")
            await client.cancel(number)
        assert await daemon.ended() == 0
    assert await state() == "gone"


async def test_a_call_that_outlives_the_drain_gets_a_definite_retriable_error(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.persona = Persona(kind="long", tokens=5000, delay_per_token_ms=20)
    async with start_daemon(EXAI_SERVER__DRAIN_S="0.5") as daemon:
        async with mcp_socket(daemon.mcp_ws) as client:
            growing = asyncio.Event()
            _, answer = await client.begin_tool(
                "chat", {"prompt": "A story.", "model": "glm-5.3"}, lambda _: growing.set()
            )
            await growing.wait()
            daemon.process.send_signal(signal.SIGTERM)
            result = (await answer)["result"]
        assert result["isError"] is True
        assert result["_meta"]["exai/error"]["code"] == "stopping"
        assert result["_meta"]["exai/error"]["retryable"] is True
        assert await daemon.ended() == 0


@pytest.mark.parametrize("path", ["healthz", "readyz", "metrics"])
async def test_the_operations_port_answers(start_daemon: StartDaemon, path: str) -> None:
    async with start_daemon() as daemon:
        if path == "metrics":
            async with mcp_socket(daemon.mcp_ws) as client:
                await client.tool("chat", {"prompt": "Hi.", "model": "glm-5.3"})
        status, body = await asyncio.to_thread(_get, f"{daemon.operations}/{path}")
    assert status == 200
    if path == "readyz":
        assert set(json.loads(body)["checks"].values()) == {"ok"}
    if path == "metrics":
        assert 'exai_calls_total{error="",outcome="ok",tool="chat"} 1.0' in body
        assert "exai_loop_lag_seconds" in body
        assert 'exai_connections{door="websocket"} 0.0' in body


def _get(address: str) -> tuple[int, str]:
    with urllib.request.urlopen(address, timeout=10) as response:
        return response.status, response.read().decode()
