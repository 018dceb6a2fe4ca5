"""What one `chat` call costs the daemon: CPU by door, latency, streaming, memory, start.

The daemon runs on one core with everything on (MCP kernel, identity, admission,
journal, conversations, metrics, events); the load generator and a fixed-bytes
upstream share the other. CPU is the daemon process's own user and system time.

Beside it, on the same core and in turn, runs a lean gateway (`benchmarks/anchor.py`).
How often its CPU per call goes into the daemon's depends little on the machine and on
what else it does, so the aims are such multiples.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import psutil
import uvloop
from websockets.asyncio.client import connect

from benchmarks.figures import keep, show
from benchmarks.upstream import TOKENS

ROOT = Path(__file__).parent.parent
EXAI = str(Path(sys.executable).parent / "exai")
AIMS = {
    "websocket_multiple": 1.2,
    "http_multiple": 2.5,
    "stdio_multiple": 1.5,
    "cpu_ms_per_call": 0.30,
    "cpu_us_per_token": 40.0,
    "memory_mb": 100.0,
    "start_s": 2.0,
}
"""Multiples are those at 64 in flight."""
CONNECTIONS = 8
LOADS = (1, 16, 64)
ANCHOR = "anchor"
HELLO = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "benchmark", "version": "1"},
}


@dataclass(frozen=True)
class Load:
    """One run of calls."""

    name: str
    in_flight: int
    calls: int
    calls_per_s: float
    cpu_ms_per_call: float
    p50_ms: float
    p99_ms: float


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench calls", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each run (default 5)")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks/results/calls.json", help="where the result goes"
    )
    parser.add_argument(
        "--profile", type=Path, help="write a py-spy profile of the run at 64 in flight (raw stacks)"
    )
    return parser.parse_args()


def pin(core: int, pid: int = 0) -> None:
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(pid, {core})


@contextmanager
def process(command: list[str], core: int, **options: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, **options)
    pin(core, process.pid)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{process.args!r} ended before it was ready")
    return line


class Lines(Protocol):
    """Carries messages as texts, both ways."""

    async def send(self, text: str, /) -> None: ...

    def __aiter__(self) -> AsyncIterator[Any]: ...


class StdioLines:
    """The lines of a server's stdin and stdout."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout

    async def send(self, text: str) -> None:
        self._stdin.write(f"{text}\n".encode())
        await self._stdin.drain()

    async def __aiter__(self) -> AsyncIterator[str]:
        async for line in self._stdout:
            yield line.decode()


class Client:
    """One MCP connection over WebSocket or stdio with many calls in flight."""

    def __init__(self, socket: Lines) -> None:
        self._socket = socket
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._number = 0

    async def handshake(self) -> None:
        await self._request("initialize", HELLO)
        await self._socket.send('{"jsonrpc":"2.0","method":"notifications/initialized"}')

    async def listen(self) -> None:
        async for text in self._socket:
            if '"id"' in text[:60] or '"result"' in text or '"error"' in text:
                message = json.loads(text)
                if "id" in message and (future := self._waiting.pop(message["id"], None)) is not None:
                    future.set_result(message)

    async def chat(self, prompt: str, *, progress: bool = False, **more: Any) -> dict[str, Any]:
        return _checked(await self.answer(prompt, progress=progress, **more))

    async def answer(self, prompt: str, *, progress: bool = False, **more: Any) -> dict[str, Any]:
        """The answer to a call, which may have failed."""
        parameters: dict[str, Any] = {
            "name": "chat",
            "arguments": {"prompt": prompt, "model": "glm-5.3", **more},
        }
        if progress:
            parameters["_meta"] = {"progressToken": self._number + 1}
        return await self._request("tools/call", parameters)

    async def _request(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        number = self._number
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(
            json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": parameters})
        )
        answer: dict[str, Any] = await future
        return answer


class HttpClient:
    """One session over Streamable HTTP (2025-11-25) with many calls in flight."""

    def __init__(self, http: aiohttp.ClientSession, address: str) -> None:
        self._http = http
        self._address = address
        self._headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        self._number = 0

    async def handshake(self) -> None:
        message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO}
        async with self._http.post(self._address, json=message, headers=self._headers) as response:
            self._headers["Mcp-Session-Id"] = response.headers["Mcp-Session-Id"]
            self._headers["MCP-Protocol-Version"] = "2025-11-25"
            await response.read()
        message = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        async with self._http.post(self._address, json=message, headers=self._headers):
            pass

    async def chat(self, prompt: str) -> dict[str, Any]:
        self._number += 1
        arguments = {"prompt": prompt, "model": "glm-5.3"}
        params = {"name": "chat", "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": self._number, "method": "tools/call", "params": params}
        async with self._http.post(self._address, json=message, headers=self._headers) as response:
            body = await response.text()
        if response.content_type == "text/event-stream":  # it took more than half a second
            body = [line[5:] for line in body.splitlines() if line.startswith("data:") and line[5:].strip()][
                -1
            ]
        return _checked(json.loads(body))


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    result = answer.get("result")
    if result is None or result.get("isError"):
        raise SystemExit(f"a call failed: {json.dumps(answer)[:500]}")
    return dict(result)


class Bench:
    """The daemon under load, through one door."""

    def __init__(
        self, daemon: psutil.Process, clients: "list[Client] | list[HttpClient]", seconds: float
    ) -> None:
        self._daemon = daemon
        self._clients = clients
        self._seconds = seconds

    def _cpu_s(self) -> float:
        times = self._daemon.cpu_times()
        return float(times.user + times.system)

    async def load(
        self, name: str, in_flight: int, *, prompt: str = "What does this do?", **call: Any
    ) -> Load:
        await self._run(in_flight, min(1.0, self._seconds / 3), prompt, call)  # warm-up
        cpu, began = self._cpu_s(), time.perf_counter()
        latencies = await self._run(in_flight, self._seconds, prompt, call)
        elapsed, cpu = time.perf_counter() - began, self._cpu_s() - cpu
        latencies.sort()
        return Load(
            name=name,
            in_flight=in_flight,
            calls=len(latencies),
            calls_per_s=round(len(latencies) / elapsed, 1),
            cpu_ms_per_call=round(cpu / len(latencies) * 1000, 4),
            p50_ms=round(statistics.median(latencies) * 1000, 2),
            p99_ms=round(latencies[int(len(latencies) * 0.99)] * 1000, 2),
        )

    async def _run(self, in_flight: int, seconds: float, prompt: str, call: dict[str, Any]) -> list[float]:
        latencies: list[float] = []
        end = time.perf_counter() + seconds

        async def worker(client: Client | HttpClient) -> None:
            while (began := time.perf_counter()) < end:
                await client.chat(prompt, **call)
                latencies.append(time.perf_counter() - began)

        async with asyncio.TaskGroup() as tasks:
            for number in range(in_flight):
                tasks.create_task(worker(self._clients[number % len(self._clients)]))
        return latencies


@asynccontextmanager
async def _listening(lines: Sequence[Lines]) -> AsyncIterator[list[Client]]:
    """Clients that have made their handshake, one on each of these."""
    async with asyncio.TaskGroup() as tasks:
        clients = [Client(each) for each in lines]
        listeners = [tasks.create_task(client.listen()) for client in clients]
        for client in clients:
            await client.handshake()
        yield clients
        for listener in listeners:
            listener.cancel()


@asynccontextmanager
async def _over_websocket(address: str) -> AsyncIterator[list[Client]]:
    subprotocols: Any = ["mcp"]
    async with AsyncExitStack() as scopes:
        sockets = [
            await scopes.enter_async_context(
                connect(address, subprotocols=subprotocols, compression=None, max_size=None)
            )
            for _ in range(CONNECTIONS)
        ]
        yield await scopes.enter_async_context(_listening(sockets))


@asynccontextmanager
async def _over_http(address: str) -> AsyncIterator[list[HttpClient]]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        clients = [HttpClient(http, address) for _ in range(CONNECTIONS)]
        for client in clients:
            await client.handshake()
        yield clients


@asynccontextmanager
async def _stdio_server(environment: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """`exai stdio`, which is a daemon of its own with one client."""
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(
        EXAI, "stdio", stdin=pipe, stdout=pipe, env=environment, limit=2**24
    )
    pin(0, server.pid)
    try:
        yield server
    finally:
        server.terminate()
        await server.wait()


async def _doors(
    addresses: Mapping[str, str], daemon: int, anchor: int, environment: Mapping[str, str], seconds: float
) -> list[Load]:
    """Load each door in turn, and the anchor before each round of them."""
    async with AsyncExitStack() as scopes:
        stdio = await scopes.enter_async_context(_stdio_server(environment))
        benches = {
            ANCHOR: Bench(
                psutil.Process(anchor),
                await scopes.enter_async_context(_over_websocket(addresses[ANCHOR])),
                seconds,
            ),
            "WebSocket": Bench(
                psutil.Process(daemon),
                await scopes.enter_async_context(_over_websocket(addresses["mcp_ws"])),
                seconds,
            ),
            "HTTP": Bench(
                psutil.Process(daemon),
                await scopes.enter_async_context(_over_http(addresses["mcp_http"])),
                seconds,
            ),
            "stdio": Bench(
                psutil.Process(stdio.pid),
                await scopes.enter_async_context(_listening([StdioLines(stdio)])),
                seconds,
            ),
        }
        runs = []
        for in_flight in LOADS:
            for door, bench in benches.items():
                runs.append(await bench.load(f"chat, {door}", in_flight))
                _show(runs[-1])
    return runs


def _multiples(runs: list[Load]) -> dict[str, float]:
    """How often the anchor's CPU per call goes into that of each door, by door and load."""
    by_name = {(run.name, run.in_flight): run.cpu_ms_per_call for run in runs}
    return {
        f"{name.removeprefix('chat, ')}, {in_flight}": round(cpu / by_name[f"chat, {ANCHOR}", in_flight], 2)
        for (name, in_flight), cpu in by_name.items()
        if not name.endswith(ANCHOR)
    }


async def _measure(
    addresses: Mapping[str, str],
    pid: int,
    anchor: int,
    environment: Mapping[str, str],
    options: argparse.Namespace,
) -> dict[str, Any]:
    daemon = psutil.Process(pid)
    idle_mb = daemon.memory_info().rss / 2**20
    runs = await _doors(addresses, pid, anchor, environment, options.seconds)
    async with _over_websocket(addresses["mcp_ws"]) as clients:
        bench = Bench(daemon, clients, options.seconds)
        if options.profile:
            recording = _record(options.profile, pid, options.seconds)
            await bench.load("chat", 64)
            recording.wait()
        short = await bench.load("chat, streamed to the client", 16, progress=True)
        _show(short)
        tokens = await bench.load(
            f"chat, {TOKENS} tokens streamed", 16, prompt="STREAM please", progress=True
        )
        _show(tokens)
    multiples = _multiples(runs)
    return {
        "runs": [asdict(run) for run in [*runs, short, tokens]],
        "multiples": multiples,
        "websocket_multiple": multiples["WebSocket, 64"],
        "http_multiple": multiples["HTTP, 64"],
        "stdio_multiple": multiples["stdio, 64"],
        "cpu_ms_per_call": next(
            run.cpu_ms_per_call for run in runs if (run.name, run.in_flight) == ("chat, WebSocket", 16)
        ),
        "cpu_us_per_token": round((tokens.cpu_ms_per_call - short.cpu_ms_per_call) / TOKENS * 1000, 2),
        "memory_mb": round(daemon.memory_info().rss / 2**20, 1),
        "memory_idle_mb": round(idle_mb, 1),
    }


def _record(profile: Path, pid: int, seconds: float) -> subprocess.Popen[bytes]:
    """Sample who holds the interpreter, with py-spy."""
    options = ["--rate", "500", "--gil", "--format", "raw", "--duration", str(max(1, int(seconds)))]
    spy = Path(sys.executable).with_name("py-spy")
    return subprocess.Popen(
        [spy, "record", "--pid", str(pid), *options, "--output", profile], stdout=subprocess.DEVNULL
    )


def _show(run: Load) -> None:
    print(
        f"{run.name:<32} {run.in_flight:>9} {run.calls:>8} {run.calls_per_s:>9.0f} {run.cpu_ms_per_call:>12.3f} "
        f"{run.p50_ms:>8.2f} {run.p99_ms:>8.2f}",
        flush=True,
    )


def main() -> None:
    options = _arguments()
    pin(1)
    with (
        tempfile.TemporaryDirectory(prefix="exai-bench-") as folder,
        tempfile.TemporaryDirectory(prefix="exai-bench-stdio-") as stdio_folder,
        process([sys.executable, "-m", "benchmarks.upstream"], core=1) as upstream,
    ):
        port = int(first_line(upstream))
        environment = {
            **os.environ,
            "GLM_API_KEY": "benchmark-id.benchmark-secret",
            "EXAI_PROVIDERS__GLM__BASE_URL": f"http://127.0.0.1:{port}/v4",
            "EXAI_DATA_DIR": folder,
            "EXAI_SERVER__PORT": "0",
            "EXAI_GUARDS__REPEATS": "0",
            "EXAI_SERVER__OPERATIONS_PORT": "0",
            "EXAI_SERVER__ERRORS_PORT": "0",
        }
        began = time.perf_counter()
        anchor_command = [sys.executable, "-m", "benchmarks.anchor", f"http://127.0.0.1:{port}/v4"]
        with (
            process([EXAI, "serve", "--ready-json"], core=0, env=environment) as daemon,
            process(anchor_command, core=0) as anchor,
        ):
            addresses = json.loads(first_line(daemon))
            start_s = time.perf_counter() - began
            print(
                f"{'run':<32} {'in flight':>9} {'calls':>8} {'calls/s':>9} {'CPU ms/call':>12} "
                f"{'p50 ms':>8} {'p99 ms':>8}"
            )
            addresses[ANCHOR] = first_line(anchor).strip()
            stdio = {**environment, "EXAI_DATA_DIR": stdio_folder}
            result = uvloop.run(_measure(addresses, daemon.pid, anchor.pid, stdio, options))
    result = {
        "start_s": round(start_s, 2),
        **result,
    }
    print()
    print("CPU per call, as a multiple of the anchor's: " + json.dumps(result["multiples"]))
    show({name: result[name] for name in AIMS}, AIMS)
    keep(result, options.json)


if __name__ == "__main__":
    main()
