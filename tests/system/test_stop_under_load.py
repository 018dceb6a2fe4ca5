"""SIGTERM with a hundred calls in flight, short, long and streaming, over every door of the daemon."""

import asyncio
import json
import signal
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed

from exai.storage.database_file import FILE_NAME
from exai_emulator import Emulator, Persona
from support.daemon_in_process import DaemonInProcess, StartInProcess
from support.daemons import EXAI, Daemon, StartDaemon, clean_environ
from support.mcp_websocket import McpSocket, mcp_socket
from support.session_socket import ENVELOPE, SessionSocket, session_socket
from support.stdio_client import StdioClient
from support.virtual_time import now
from support.waiting import wait_until

SHORT, STREAMING, SILENT = "kimi-k3", "glm-5.3", "glm-5.3-flash"
PERSONAS = {
    SHORT: Persona(kind="long", tokens=20, delay_per_token_ms=50),
    STREAMING: Persona(kind="long", tokens=5_000, delay_per_token_ms=50),
    SILENT: Persona(kind="echo", first_byte_delay_ms=120_000),
}
CALLS_PER_MODEL = {SHORT: 34, STREAMING: 33, SILENT: 33}
DRAIN_S = 8
LATE = 1_000
"""The id of calls that come after the signal."""

Answer = dict[str, Any]
Ask = Callable[[str], Coroutine[Any, Any, Answer]]
"""Makes one call and returns its result."""


class HttpPeer:
    """Each call a request of its own."""

    def __init__(self, client: aiohttp.ClientSession, url: str) -> None:
        self._client = client
        self._url = url

    async def post(self, method: str, params: dict[str, Any], name: str | None = None) -> Answer:
        headers = {
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": method,
        }
        if name is not None:
            headers["Mcp-Name"] = name
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": ENVELOPE}}
        async with self._client.post(self._url, json=message, headers=headers) as response:
            text = await response.text()
        if response.content_type != "text/event-stream":
            return dict(json.loads(text))
        data = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")]
        return dict(json.loads(data[-1]))

    async def chat(self, model: str) -> Answer:
        arguments = {"prompt": "Go on.", "model": model}
        answer = await self.post("tools/call", {"name": "chat", "arguments": arguments}, "chat")
        return dict(answer["result"])


class SessionPeer:
    """Calls over one resumable session; acknowledges what it reads."""

    def __init__(self, socket: SessionSocket) -> None:
        self._socket = socket
        self._waiting: dict[int, asyncio.Future[Answer]] = {}

    async def chat(self, model: str) -> Answer:
        number = len(self._waiting) + 1
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.call(number, "chat", {"prompt": "Go on.", "model": model})
        answer: dict[str, Any] = await future
        return answer

    async def listen(self) -> ConnectionClosed:
        """Until the daemon closes; how it did."""
        try:
            while True:
                frame = json.loads(await self._socket.connection.recv())
                if frame["t"] == "m":
                    await self._socket.send({"t": "a", "a": frame["s"]})
                    if "id" in frame["m"]:
                        self._waiting[frame["m"]["id"]].set_result(frame["m"]["result"])
        except ConnectionClosed as closed:
            return closed


async def _closed(client: McpSocket) -> ConnectionClosed:
    with pytest.raises(ConnectionClosed) as closed:
        async with asyncio.timeout(30):
            await client.socket.wait_closed()
            await client.socket.recv()
    return closed.value


async def _status(url: str) -> int:
    async with aiohttp.ClientSession() as client, client.get(url) as response:
        return response.status


async def _unready(daemon: Daemon | DaemonInProcess) -> None:
    async def says_so() -> bool:
        return await _status(f"{daemon.operations}/readyz") == 503

    await wait_until(says_so, what="the daemon is no longer ready")


def _is_stopping(result: Answer) -> bool:
    facts = result.get("_meta", {}).get("exai/error", {})
    return bool(result["isError"] and facts["code"] == "stopping" and facts["retryable"])


def _outcomes(data_dir: Path) -> dict[tuple[str | None, str | None], int]:
    """How the journal says that calls ended."""
    database = sqlite3.connect(data_dir / FILE_NAME)
    try:
        rows = database.execute("SELECT outcome, error_code, count(*) FROM calls GROUP BY 1, 2").fetchall()
    finally:
        database.close()
    return {(outcome, code): count for outcome, code, count in rows}


@pytest.mark.virtual_time
async def test_a_hundred_calls_end_in_order_when_the_daemon_is_stopped(
    start_in_process: StartInProcess, emulator: Emulator, tmp_path: Path
) -> None:
    for model, persona in PERSONAS.items():
        emulator.personas.set(persona, model=model)
    async with start_in_process(EXAI_SERVER__DRAIN_S=str(DRAIN_S)) as daemon, AsyncExitStack() as scopes:
        plain = [await scopes.enter_async_context(mcp_socket(daemon.mcp_ws)) for _ in range(2)]
        sockets = [await scopes.enter_async_context(session_socket(daemon.mcp_ws)) for _ in range(2)]
        for socket in sockets:
            await socket.open(credit=100_000)
        sessions = [SessionPeer(socket) for socket in sockets]
        group = await scopes.enter_async_context(asyncio.TaskGroup())
        endings = [group.create_task(session.listen()) for session in sessions]
        http = HttpPeer(
            await scopes.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))),
            daemon.mcp_http,
        )
        listening = group.create_task(
            http.post("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        )

        async def over_plain(client: McpSocket, model: str) -> Answer:
            arguments = {"prompt": "Go on.", "model": model}
            _, answer = await client.begin_tool("chat", arguments, lambda _: None)
            return dict((await answer)["result"])

        ways: list[Ask] = [
            *(partial(over_plain, client) for client in plain),
            *(session.chat for session in sessions),
            http.chat,
        ]
        models = [model for model, count in CALLS_PER_MODEL.items() for _ in range(count)]
        calls = [
            (model, group.create_task(ways[number % len(ways)](model))) for number, model in enumerate(models)
        ]
        await emulator.log.wait_for(lambda _: len(emulator.log.requests) == len(calls), timeout=60)

        daemon.signal()
        signalled_at = now()
        await _unready(daemon)
        assert await _status(f"{daemon.operations}/healthz") == 200
        for ask in ways:
            assert _is_stopping(await ask(SHORT)), "a new call was taken"

        for model, call in calls:
            result = await call
            if model == SHORT:
                assert not result["isError"], result
            else:
                assert _is_stopping(result), result
        subscription = await listening
        assert subscription["result"]["resultType"] == "complete"
        for client in plain:
            closed = await _closed(client)
            assert closed.rcvd is not None
            assert closed.rcvd.code == 1012
            assert "Connect again" in closed.rcvd.reason
        for ending in endings:
            closed = await ending
            assert closed.rcvd is not None
            assert closed.rcvd.code == 1012
            assert "resume" in closed.rcvd.reason
        await daemon.ended()
        assert DRAIN_S <= now() - signalled_at < DRAIN_S + 2
    assert _outcomes(tmp_path / "data") == {
        ("ok", None): CALLS_PER_MODEL[SHORT],
        ("cancelled", "stopping"): CALLS_PER_MODEL[STREAMING] + CALLS_PER_MODEL[SILENT],
    }
    asked = [record for record in emulator.log.requests if record.path.endswith("/chat/completions")]
    assert len(asked) == len(calls)


async def test_a_hundred_calls_over_stdio_end_in_order_when_it_is_stopped(
    provider_environ: dict[str, str], emulator: Emulator, tmp_path: Path
) -> None:
    for model, persona in PERSONAS.items():
        emulator.personas.set(persona, model=model)
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    environ = clean_environ(data_dir, {**provider_environ, "EXAI_SERVER__DRAIN_S": str(DRAIN_S)})
    process = await asyncio.create_subprocess_exec(
        *EXAI,
        "stdio",
        env=environ,
        cwd=data_dir,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=2**24,
    )
    client = StdioClient(process)
    try:
        models = [model for model, count in CALLS_PER_MODEL.items() for _ in range(count)]
        for number, model in enumerate(models):
            await client.send(_tool(number, "chat", prompt="Go on.", model=model))
        await emulator.log.wait_for(lambda _: len(emulator.log.requests) == len(models), timeout=60)

        process.send_signal(signal.SIGTERM)
        results: dict[int, Answer] = {}
        await client.send(_tool(LATE, "status"))
        while len(results) < len(models) + 1:
            answer = await client.next()
            if answer.get("id") == LATE and not _is_stopping(answer["result"]):
                await client.send(_tool(LATE, "status"))  # the signal has not been heard yet
            elif "id" in answer:
                results[answer["id"]] = answer["result"]
        assert results[LATE]["isError"], "a new call was taken"
        for number, model in enumerate(models):
            if model == SHORT:
                assert not results[number]["isError"], results[number]
            else:
                assert _is_stopping(results[number]), results[number]
        assert await client.ended() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
    assert _outcomes(data_dir) == {
        ("ok", None): CALLS_PER_MODEL[SHORT],
        ("cancelled", "stopping"): CALLS_PER_MODEL[STREAMING] + CALLS_PER_MODEL[SILENT],
    }
    assert len(emulator.log.requests) == len(models)


def _tool(number: int, name: str, **arguments: Any) -> dict[str, Any]:
    """A call that says how it goes on."""
    meta = {**ENVELOPE, "progressToken": number}
    params = {"name": name, "arguments": arguments, "_meta": meta}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


async def test_a_second_sigterm_hurries(start_daemon: StartDaemon, emulator: Emulator) -> None:
    emulator.persona = PERSONAS[SILENT]
    async with start_daemon(EXAI_SERVER__DRAIN_S="600") as daemon, mcp_socket(daemon.mcp_ws) as client:
        _, answer = await client.begin_tool("chat", {"prompt": "Wait.", "model": "glm-5.3"})
        await emulator.log.wait_for(lambda record: record.outcome == "open")
        daemon.process.send_signal(signal.SIGTERM)
        await _unready(daemon)
        assert not answer.done()
        daemon.process.send_signal(signal.SIGTERM)
        assert _is_stopping((await answer)["result"])
        assert await daemon.ended() == 0


async def test_a_client_that_does_not_read_holds_up_no_stop(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.persona = Persona(kind="echo")
    async with start_daemon(EXAI_SERVER__DRAIN_S="1") as daemon, session_socket(daemon.mcp_ws) as client:
        await client.open(credit=0)
        await client.call(1, "models")
        await client.connection.ping()
        daemon.process.send_signal(signal.SIGTERM)
        assert await client.close_code() == 1012
        assert await daemon.ended() == 0
