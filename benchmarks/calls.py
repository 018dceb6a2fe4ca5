"""What one `chat` call costs the daemon: CPU, latency, streaming, memory, start.

The daemon runs on one core with everything on (MCP kernel, identity, admission,
journal, conversations, metrics, events); the load generator and a fixed-bytes
upstream share the other. CPU is the daemon process's own user and system time.
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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.figures import keep, show
from benchmarks.upstream import TOKENS

ROOT = Path(__file__).parent.parent
AIMS = {"cpu_ms_per_call": 0.30, "cpu_us_per_token": 40.0, "memory_mb": 100.0, "start_s": 2.0}
CONNECTIONS = 8


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


class Client:
    """One MCP connection over WebSocket with many calls in flight."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._number = 0

    async def handshake(self) -> None:
        await self._request(
            "initialize",
            {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "benchmark", "version": "1"},
            },
        )
        await self._socket.send('{"jsonrpc":"2.0","method":"notifications/initialized"}')

    async def listen(self) -> None:
        async for text in self._socket:
            if '"id"' in text[:60] or '"result"' in text or '"error"' in text:
                message = json.loads(text)
                if "id" in message and (future := self._waiting.pop(message["id"], None)) is not None:
                    future.set_result(message)

    async def chat(self, prompt: str, *, progress: bool = False, **more: Any) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "name": "chat",
            "arguments": {"prompt": prompt, "model": "glm-5.3", **more},
        }
        if progress:
            parameters["_meta"] = {"progressToken": self._number + 1}
        answer = await self._request("tools/call", parameters)
        result = answer.get("result")
        if result is None or result.get("isError"):
            raise SystemExit(f"a call failed: {json.dumps(answer)[:500]}")
        return dict(result)

    async def _request(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        number = self._number
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(
            json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": parameters})
        )
        answer: dict[str, Any] = await future
        return answer


class Bench:
    """The daemon under load."""

    def __init__(self, daemon: psutil.Process, clients: list[Client], seconds: float) -> None:
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

        async def worker(client: Client) -> None:
            while (began := time.perf_counter()) < end:
                await client.chat(prompt, **call)
                latencies.append(time.perf_counter() - began)

        async with asyncio.TaskGroup() as tasks:
            for number in range(in_flight):
                tasks.create_task(worker(self._clients[number % len(self._clients)]))
        return latencies


async def _measure(address: str, pid: int, seconds: float, profile: Path | None) -> dict[str, Any]:
    daemon = psutil.Process(pid)
    idle_mb = daemon.memory_info().rss / 2**20
    async with asyncio.TaskGroup() as tasks:
        clients = []
        listeners = []
        for _ in range(CONNECTIONS):
            socket = await connect(address, subprotocols=["mcp"], compression=None, max_size=None)  # type: ignore[list-item]
            client = Client(socket)
            listeners.append(tasks.create_task(client.listen()))
            await client.handshake()
            clients.append(client)
        bench = Bench(daemon, clients, seconds)
        runs = []
        for in_flight in (1, 16, 64):
            recording = _record(profile, pid, seconds) if profile and in_flight == 64 else None
            runs.append(await bench.load("chat", in_flight))
            _show(runs[-1])
            if recording is not None:
                recording.wait()
        runs.append(await bench.load("chat, streamed to the client", 16, progress=True))
        _show(runs[-1])
        tokens = await bench.load(
            f"chat, {TOKENS} tokens streamed", 16, prompt="STREAM please", progress=True
        )
        _show(tokens)
        loaded_mb = daemon.memory_info().rss / 2**20
        for listener in listeners:
            listener.cancel()
    short = runs[-1]
    return {
        "runs": [asdict(run) for run in [*runs, tokens]],
        "cpu_ms_per_call": runs[1].cpu_ms_per_call,
        "cpu_us_per_token": round((tokens.cpu_ms_per_call - short.cpu_ms_per_call) / TOKENS * 1000, 2),
        "memory_mb": round(loaded_mb, 1),
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
        with process(
            [str(Path(sys.executable).parent / "exai"), "serve", "--ready-json"], core=0, env=environment
        ) as daemon:
            address = json.loads(first_line(daemon))["mcp_ws"]
            start_s = time.perf_counter() - began
            print(
                f"{'run':<32} {'in flight':>9} {'calls':>8} {'calls/s':>9} {'CPU ms/call':>12} "
                f"{'p50 ms':>8} {'p99 ms':>8}"
            )
            result = uvloop.run(_measure(address, daemon.pid, options.seconds, options.profile))
    result = {
        "start_s": round(start_s, 2),
        **result,
    }
    print()
    show({name: result[name] for name in AIMS}, AIMS)
    keep(result, options.json)


if __name__ == "__main__":
    main()
