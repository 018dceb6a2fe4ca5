"""`exai connect` as a process between a client and a daemon that comes and goes."""

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from exai_emulator import Emulator, Fault, Persona
from support.daemons import NO_KEYRING, StartDaemon, free_port
from support.tcp_proxy import tcp_proxy
from support.waiting import wait_until

UNREACHABLE = -32004
HANDSHAKE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "editor", "version": "1"},
}


class Editor:
    """What an MCP client does with the process that it started."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self.notifications: list[dict[str, Any]] = []

    async def send(self, message: dict[str, Any]) -> None:
        self._stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        await self._stdin.drain()

    async def answer(self) -> dict[str, Any]:
        """The next answer; what comes before it is kept."""
        while True:
            async with asyncio.timeout(30):
                line = await self._stdout.readline()
            assert line, "the bridge ended"
            message: dict[str, Any] = json.loads(line)
            if "method" not in message:
                return message
            self.notifications.append(message)

    async def initialize(self) -> None:
        await self.send({"id": 0, "method": "initialize", "params": HANDSHAKE})
        assert (await self.answer())["result"]["serverInfo"]["name"] == "exai"
        await self.send({"method": "notifications/initialized"})

    async def begin(self, number: int, tool: str, arguments: dict[str, Any] | None = None) -> None:
        params = {"name": tool, "arguments": arguments or {}, "_meta": {"progressToken": number}}
        await self.send({"id": number, "method": "tools/call", "params": params})

    async def call(self, number: int, tool: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
        await self.begin(number, tool, arguments)
        answer = await self.answer()
        assert answer["id"] == number
        return answer

    def leave(self) -> None:
        self._stdin.close()


@asynccontextmanager
async def bridge(url: str, *options: str) -> AsyncIterator[Editor]:
    """`exai connect` started as an editor starts it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "exai.cli",
        "connect",
        url,
        *options,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **NO_KEYRING},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**22,
    )
    try:
        yield Editor(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_progress_and_answers_pass_and_the_end_of_stdin_ends_it(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.persona = Persona(kind="long", tokens=50, delay_per_token_ms=5)
    async with start_daemon() as daemon, bridge(daemon.mcp_ws) as editor:
        await editor.initialize()
        answer = await editor.call(1, "chat", {"prompt": "A story.", "model": "glm-5.3"})
        text = "".join(
            each["params"]["_meta"]["exai/delta"]
            for each in editor.notifications
            if each["params"]["_meta"]["exai/kind"] == "text"
        )
        assert text == answer["result"]["structuredContent"]["answer"]
        editor.leave()
        async with asyncio.timeout(30):
            assert await editor.process.wait() == 0


async def test_a_cancellation_passes(start_daemon: StartDaemon, emulator: Emulator) -> None:
    emulator.faults.add("glm", Fault(before_first_byte_ms=60_000))
    async with start_daemon() as daemon, bridge(daemon.mcp_ws) as editor:
        await editor.initialize()
        await editor.begin(1, "chat", {"prompt": "Wait.", "model": "glm-5.3"})
        await emulator.log.wait_for(lambda record: record.outcome == "open")
        await editor.send({"method": "notifications/cancelled", "params": {"requestId": 1}})
        await emulator.log.wait_for(lambda record: record.outcome == "disconnected")
        assert "result" in await editor.call(2, "models")


async def test_the_error_for_a_daemon_that_is_down_says_what_to_start() -> None:
    async with bridge("ws://127.0.0.1:9/mcp", "--patience", "0.5") as editor:
        await editor.send({"id": 0, "method": "initialize", "params": HANDSHAKE})
        answer = await editor.answer()
        assert answer["error"]["code"] == UNREACHABLE
        assert "exai serve" in answer["error"]["message"]
        assert "nothing listens there" in answer["error"]["message"]


async def test_a_request_waits_for_a_daemon_that_is_being_started(start_daemon: StartDaemon) -> None:
    async with start_daemon() as daemon, tcp_proxy(daemon.mcp_ws) as (proxy, url):
        proxy.refuses = True
        async with bridge(url, "--patience", "30") as editor:
            await editor.send({"id": 0, "method": "initialize", "params": HANDSHAKE})
            async with asyncio.timeout(20):
                await proxy.refused.wait()
            proxy.refuses = False
            assert "result" in await editor.answer()


async def test_a_restart_of_the_daemon_is_survived_without_a_new_handshake(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    async with start_daemon() as daemon:
        port = daemon.mcp_ws.rpartition(":")[2].partition("/")[0]
    async with bridge(daemon.mcp_ws, "--patience", "30") as editor:
        async with start_daemon(EXAI_SERVER__PORT=port) as daemon:
            await editor.initialize()
            said = await editor.call(1, "chat", {"prompt": "The secret word is Teal.", "model": "glm-5.3"})
            emulator.faults.add("glm", Fault(before_first_byte_ms=60_000))
            await editor.begin(2, "chat", {"prompt": "Wait.", "model": "glm-5.3"})
            await emulator.log.wait_for(lambda record: "Wait." in str(record.body))
            daemon.kill()
            await daemon.ended()
        emulator.faults.clear()
        async with start_daemon(EXAI_SERVER__PORT=port):
            lost = await editor.answer()
            assert (lost["id"], lost["result"]["isError"]) == (2, True)
            assert lost["result"]["_meta"]["exai/error"]["code"] == "in_doubt"
            handle = said["result"]["structuredContent"]["continuation_id"]
            again = await editor.call(
                3, "chat", {"prompt": "What was the secret word?", "continuation_id": handle}
            )
            assert "Teal" in again["result"]["structuredContent"]["answer"]
    assert len([record for record in emulator.log.of("glm") if "Wait." in str(record.body)]) == 1


async def test_an_answer_that_a_killed_daemon_had_kept_arrives_once(
    start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path
) -> None:
    port = str(free_port())
    async with AsyncExitStack() as scopes:
        async with start_daemon(EXAI_SERVER__PORT=port) as daemon:
            proxy, url = await scopes.enter_async_context(tcp_proxy(daemon.mcp_ws))
            editor = await scopes.enter_async_context(bridge(url, "--patience", "60"))
            await editor.initialize()
            proxy.holds = "answers"
            await editor.begin(1, "chat", {"prompt": "What is a heron?", "model": "glm-5.3"})
            await wait_until(
                lambda: _kept_results(tmp_path / "data" / "exai.sqlite"), what="the daemon keeps the answer"
            )
            daemon.kill()
            await daemon.ended()
        proxy.cut()
        proxy.holds = None
        async with start_daemon(EXAI_SERVER__PORT=port):
            answer = await editor.answer()
            assert "result" in await editor.call(2, "models")
    assert answer["id"] == 1
    assert answer["result"]["structuredContent"]["answer"] == "[emulated glm-5.3] What is a heron?"
    assert answer["result"]["_meta"]["exai/idempotent-call"]["recalled"] == "stored"
    assert len(emulator.log.of("glm")) == 1


def _kept_results(file: Path) -> int:
    connection = sqlite3.connect(file)
    try:
        (count,) = connection.execute(
            "SELECT count(*) FROM idempotent_calls WHERE ended_at IS NOT NULL"
        ).fetchone()
        return int(count)
    finally:
        connection.close()


async def test_two_editors_with_equal_ids_never_hear_each_other(start_daemon: StartDaemon) -> None:
    async with (
        start_daemon() as daemon,
        tcp_proxy(daemon.mcp_ws) as (proxy, url),
        bridge(url) as one,
        bridge(url) as other,
    ):
        await asyncio.gather(one.initialize(), other.initialize())
        for number in range(1, 6):
            proxy.cut()
            answers = await asyncio.gather(
                one.call(number, "chat", {"prompt": f"one {number}", "model": "kimi-k3"}),
                other.call(number, "chat", {"prompt": f"other {number}", "model": "kimi-k3"}),
            )
            assert [answer["result"]["structuredContent"]["answer"] for answer in answers] == [
                f"[emulated kimi-k3] one {number}",
                f"[emulated kimi-k3] other {number}",
            ]


async def test_a_line_that_is_no_message_is_answered(start_daemon: StartDaemon) -> None:
    async with start_daemon() as daemon, bridge(daemon.mcp_ws) as editor:
        assert editor.process.stdin is not None
        editor.process.stdin.write(b"no JSON\n")
        assert (await editor.answer())["error"]["code"] == -32700
        editor.process.stdin.write(b'{"jsonrpc":"2.0","id":7,"method":"ping",}\n')
        assert (await editor.answer())["id"] == 7
        await editor.initialize()
        answer = await editor.call(8, "chat", {"prompt": "cut \ud83d here", "model": "kimi-k3"})
        assert "cut \ufffd here" in answer["result"]["structuredContent"]["answer"]


async def test_the_bridge_does_without_the_sdk_and_the_engine() -> None:
    script = (
        "import sys, exai.client.bridge; print(sorted({'mcp', 'sqlalchemy', 'aiohttp'} & set(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert said.strip() == b"[]"
