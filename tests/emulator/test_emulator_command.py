"""The command starts, tells where it listens, obeys over its control port, and stops."""

import asyncio
import json
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from typing import Any

import aiohttp
import pytest

from exai_emulator import EmulatorOptions, running

COMMAND = [sys.executable, "-c", "from exai_emulator.cli import main; main()"]


async def run(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(*COMMAND, *arguments, stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def _line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_json_line_answers_and_a_clean_stop(http: Any, number: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(*COMMAND, "--json", "--persona", "echo", stdout=PIPE)
    try:
        async with asyncio.timeout(30):
            addresses = json.loads(await _line_of(process))
        assert addresses.keys() >= {"glm", "glm_coding", "kimi", "custom", "control", "kimi_key"}
        headers = {"Authorization": f"Bearer {addresses['kimi_key']}"}
        body = {"model": "kimi-k3", "messages": [{"role": "user", "content": "Recall."}]}
        url = f"{addresses['kimi']}/chat/completions"
        async with http.post(url, json=body, headers=headers) as response:
            answer = await response.json()
        assert answer["choices"][0]["message"]["content"] == "[emulated kimi-k3] Recall."

        order = {"provider": "kimi", "fault": {"cut": "reset", "at": "before_headers"}}
        async with http.post(f"{addresses['control']}/_ctl/faults", json=order) as response:
            assert response.status == 200
        with pytest.raises(aiohttp.ClientOSError, match="reset by peer"):
            await http.post(url, json=body, headers=headers)

        process.send_signal(number)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_plain_output_names_addresses_and_keys() -> None:
    process = await asyncio.create_subprocess_exec(*COMMAND, stdout=PIPE)
    try:
        async with asyncio.timeout(30):
            lines = [await _line_of(process) for _ in range(5)]
    finally:
        process.terminate()
        await process.wait()
    shown = "".join(lines)
    options = EmulatorOptions()
    assert all(key in shown for key in (options.glm_key, options.kimi_key, options.custom_key))
    assert "/api/paas/v4" in shown
    assert "/_ctl/stats" in shown


async def test_a_port_in_use_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = await run("--kimi-port", str(port))
    assert code == 1
    assert out == ""
    assert len(err.splitlines()) == 1
    assert f"The kimi port {port} on 127.0.0.1 cannot be opened" in err


async def test_a_wrong_persona_is_refused() -> None:
    code, _, err = await run("--persona", "clever")
    assert code == 2
    assert "clever" in err


async def test_help_explains_the_command() -> None:
    code, out, _ = await run("--help")
    assert code == 0
    assert all(
        word in out
        for word in (
            "--glm-port",
            "--control-port",
            "--persona",
            "--strictness",
            "--seed",
            "--json",
            "--conformance",
            "SIGTERM",
            "_ctl/faults",
        )
    )


async def test_the_options_are_obeyed(http: Any) -> None:
    arguments = ["--json", "--strictness", "recorded", "--custom-dialect", "minimax", "--seed", "7"]
    process = await asyncio.create_subprocess_exec(*COMMAND, *arguments, stdout=PIPE)
    try:
        async with asyncio.timeout(30):
            addresses = json.loads(await _line_of(process))
        async with http.get(f"{addresses['control']}/_ctl/rules") as response:
            rules = (await response.json())["rules"]
        async with http.get(f"{addresses['control']}/_ctl/dialect") as response:
            dialect = (await response.json())["dialect"]
        headers = {"Authorization": f"Bearer {addresses['kimi_key']}"}
        body = {"model": "kimi-k3", "messages": [{"role": "user", "content": "Hi."}]}
        async with http.post(f"{addresses['kimi']}/chat/completions", json=body, headers=headers) as response:
            first = (await response.json())["id"]
    finally:
        process.terminate()
        await process.wait()
    assert {rule["id"] for rule in rules if rule["on"]} == {
        rule["id"] for rule in rules if "W" in rule["marks"]
    }
    assert dialect == "minimax"
    async with running(EmulatorOptions(seed=7)) as emulator:
        url = f"{emulator.addresses.kimi}/chat/completions"
        async with http.post(url, json=body, headers=headers) as response:
            assert (await response.json())["id"] == first
