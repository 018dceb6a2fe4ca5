"""What the dashboard's server side costs: panels and searches over a large journal, the feed at 1,000 events a second,
and how soon a cancelled call's connection to its provider is closed."""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import aiohttp
from sqlalchemy import Connection, insert
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from benchmarks.calls import ROOT, first_line, pin, process
from benchmarks.figures import keep, show
from exai import config
from exai.storage.database import Database
from exai.storage.schema import calls
from exai.storage.write_operations import LockGroup, all_at_once
from exai_emulator import Emulator, EmulatorOptions, Fault, running

AIMS = {
    "slowest_panel_ms": 300,
    "slowest_search_ms": 300,
    "feed_core_share_per_browser": 0.02,
    "feed_core_share_of_all_browsers": 0.15,
    "slowest_cancel_ms": 200,
}
PANELS = (
    "/api/feed/status",
    "/api/feed/live",
    "/api/feed/providers",
    "/api/feed/errors",
    "/api/feed/auditor",
    "/api/feed/connections",
    "/api/feed/system",
    "/api/calls",
    "/api/errors",
    "/api/series",
    "/api/system/settings",
    "/api/system/runs",
    "/api/providers?at=-1h",
)
SEARCHES = (
    "tool:chat outcome:failed",
    "error:circuit_open",
    "error:never_seen",
    "caller:caller-7",
    "caller:caller-7 outcome:failed took:>5s",
    "caller:nobody",
    "model:kimi* took:>20s",
    "took:>59s",
    "cost:>0.5",
    "tool:analyze -caller:caller-3 emulated:no",
    "conversation:conv_500000",
    "client:*nothing*",
)
TOPICS = ("status", "live", "providers", "connections", "system")
INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}
AT_ONCE = 20_000


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench dashboard", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the journal (default 1,000,000)")
    parser.add_argument("--rounds", type=int, default=5, help="of every panel and search (default 5)")
    parser.add_argument("--seconds", type=float, default=20, help="of the feed, for each number of browsers")
    parser.add_argument("--events", type=float, default=1_000, help="a second (default 1,000)")
    parser.add_argument("--browsers", type=int, default=20, help="at the feed (default 20)")
    parser.add_argument("--cancels", type=int, default=30, help="calls that are cancelled (default 30)")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/dashboard.json")
    return parser.parse_args()


def _row(number: int, now: datetime, seconds: float) -> dict[str, Any]:
    failed = number % 29 == 0
    return {column.name: None for column in calls.c} | {
        "call_id": f"call_{number:011x}",
        "run_id": "run_bench",
        "owner": f"caller-{number % 40}",
        "door": "websocket",
        "client": f"client {number % 7}",
        "tool": ("chat", "analyze", "review", "think")[number % 4],
        "model_requested": "glm-5.3",
        "model_used": ("glm-5.3", "kimi-k3", "glm-4.7")[number % 3],
        "provider": ("glm", "kimi", "glm")[number % 3],
        "requests": 1 + number % 2,
        "conversation_id": f"conv_{number}",
        "began_at": now - timedelta(seconds=seconds),
        "outcome": "failed" if failed else "ok",
        "error_code": ("circuit_open", "overloaded")[number % 2] if failed else None,
        "input_tokens": number % 9_000,
        "output_tokens": number % 900,
        "cost_usd": number % 1_000 / 2_500,
        "without_price": 0,
        "emulated": 0,
        "report": "x" * 300,
        "latency_ms": float(number * 7_919 % 60_000),
        "first_token_ms": float(number * 7_919 % 3_000),
    }


@all_at_once(LockGroup.CALLS)
def _write(connection: Connection, many: list[list[dict[str, Any]]]) -> None:
    for rows in many:
        connection.execute(insert(calls), rows)


async def _fill(folder: Path, rows: int) -> None:
    """Write a journal of a month."""
    database = await Database.open(config.Database(), folder)
    now, apart = datetime.now(UTC), 30 * 86_400 / rows
    try:
        for first in range(0, rows, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, rows))
            await database.write(_write, [_row(number, now, (rows - number) * apart) for number in numbers])
    finally:
        await database.close()


@contextmanager
def _daemon(folder: Path, emulator: Emulator) -> Iterator[tuple[Popen[str], dict[str, str]]]:
    there = emulator.addresses
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("EXAI_")},
        "GLM_API_KEY": there.glm_key,
        "KIMI_API_KEY": there.kimi_key,
        "EXAI_PROVIDERS__GLM__BASE_URL": there.glm,
        "EXAI_PROVIDERS__KIMI__BASE_URL": there.kimi,
        "EXAI_SERVER__PORT": "0",
        "EXAI_SERVER__OPERATIONS_PORT": "0",
        "EXAI_SERVER__ERRORS_PORT": "0",
        "EXAI_LOGGING__LEVEL": "error",
    }
    command = [sys.executable, "-m", "benchmarks.dashboard_daemon", str(folder)]
    with process(command, 0, env=environ, stdin=PIPE) as running_one:
        yield running_one, json.loads(first_line(running_one))


async def _timed(http: aiohttp.ClientSession, path: str, rounds: int, **query: str) -> list[float]:
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        async with http.get(path, params=query) as response:
            body = await response.read()
            assert response.status == 200, body
            assert len(body) <= 64 * 1024, path
        took.append((time.perf_counter() - began) * 1000)
    return took


async def _panels(http: aiohttp.ClientSession, rounds: int) -> dict[str, float]:
    panels = {path: await _timed(http, path, rounds) for path in PANELS}
    searches = {q: await _timed(http, "/api/calls", rounds, q=q, **{"from": "-30d"}) for q in SEARCHES}
    for name, took in {**panels, **searches}.items():
        print(f"  {name:<45} median {statistics.median(took):7.1f} ms   slowest {max(took):7.1f} ms")
    return {
        "slowest_panel_ms": round(max(map(max, panels.values())), 1),
        "median_panel_ms": round(statistics.median(map(statistics.median, panels.values())), 1),
        "slowest_search_ms": round(max(map(max, searches.values())), 1),
        "median_search_ms": round(statistics.median(map(statistics.median, searches.values())), 1),
    }


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _read(socket: ClientConnection, counts: list[int]) -> None:
    async for text in socket:
        counts[0] += 1
        counts[1] += len(text)


async def _share(
    daemon: Popen[str], operations: str, browsers: int, seconds: float
) -> tuple[float, list[int]]:
    """The share of a core that the daemon takes while so many browsers look on, and frames and bytes that they got."""
    counts = [0, 0]
    async with AsyncExitStack() as scopes:
        address = f"{operations.replace('http', 'ws', 1)}/api/feed"
        reading = []
        for _ in range(browsers):
            socket = await scopes.enter_async_context(connect(address, proxy=None, max_size=None))
            await socket.send(json.dumps({"want": TOPICS}))
            reading.append(asyncio.ensure_future(_read(socket, counts)))
        await asyncio.sleep(2)
        counts[:] = [0, 0]
        before, began = _cpu_s(daemon.pid), time.perf_counter()
        await asyncio.sleep(seconds)
        share = (_cpu_s(daemon.pid) - before) / (time.perf_counter() - began)
        for each in reading:
            each.cancel()
    return share, counts


async def _feed(daemon: Popen[str], operations: str, options: argparse.Namespace) -> dict[str, float]:
    assert daemon.stdin is not None
    daemon.stdin.write(f"{options.events}\n")
    daemon.stdin.flush()
    without, _ = await _share(daemon, operations, 0, options.seconds)
    with_one, _ = await _share(daemon, operations, 1, options.seconds)
    with_all, counts = await _share(daemon, operations, options.browsers, options.seconds)
    daemon.stdin.write("0\n")
    daemon.stdin.flush()
    return {
        "events_per_s": options.events,
        "core_share_without_browsers": round(without, 4),
        "feed_core_share_of_one_browser": round(with_one - without, 4),
        "browsers": options.browsers,
        "feed_core_share_of_all_browsers": round(with_all - without, 4),
        "feed_core_share_per_browser": round((with_all - without) / options.browsers, 4),
        "frames_per_s_and_browser": round(counts[0] / options.seconds / options.browsers, 2),
        "bytes_per_s_and_browser": round(counts[1] / options.seconds / options.browsers),
    }


async def _asked(mcp: ClientConnection, number: int, method: str, params: dict[str, Any]) -> str:
    """Send a request and return the answer to it."""
    await mcp.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}))
    while True:
        text = str(await mcp.recv())
        if json.loads(text).get("id") == number:
            return text


async def _running_call(http: aiohttp.ClientSession, before: str) -> str:
    """The id of the call that runs, as soon as the dashboard shows it and no more the one before."""
    while True:
        async with http.get("/api/feed/live") as response:
            running_now = (await response.json())["full"]["running"]
        if running_now and running_now[0]["call_id"] != before:
            return str(running_now[0]["call_id"])
        await asyncio.sleep(0.1)


async def _cancels(emulator: Emulator, addresses: dict[str, str], count: int) -> dict[str, float]:
    """Cancel calls that wait for their answer, one after the other."""
    emulator.faults.add("glm", Fault(before_first_byte_ms=120_000, times=None))
    took = []
    operations = addresses["operations"]
    async with (
        connect(addresses["mcp_ws"], subprotocols=[Subprotocol("mcp")], proxy=None) as mcp,
        aiohttp.ClientSession(operations, headers={"Origin": operations}) as http,
    ):
        await _asked(mcp, 0, "initialize", INITIALIZE)
        call_id = ""
        for number in range(1, count + 1):
            params = {"name": "chat", "arguments": {"prompt": f"Wait {number}.", "model": "glm-5.3"}}
            asked = asyncio.ensure_future(_asked(mcp, number, "tools/call", params))
            await emulator.log.wait_for(lambda _: emulator.log.in_flight == 1)
            call_id = await _running_call(http, call_id)
            began = time.perf_counter()
            cancelled = asyncio.ensure_future(http.post(f"/api/calls/{call_id}/cancel"))
            await emulator.log.wait_for(lambda _: emulator.log.in_flight == 0)
            took.append((time.perf_counter() - began) * 1000)
            (await cancelled).release()
            assert "cancelled_by_operator" in await asked
    return {"slowest_cancel_ms": round(max(took), 1), "median_cancel_ms": round(statistics.median(took), 1)}


async def _run(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    await _fill(folder, options.rows)
    async with running(EmulatorOptions()) as emulator:
        with _daemon(folder, emulator) as (daemon, addresses):
            async with aiohttp.ClientSession(addresses["operations"]) as http:
                figures: dict[str, float] = {"rows": options.rows, **await _panels(http, options.rounds)}
            figures |= await _feed(daemon, addresses["operations"], options)
            return figures | await _cancels(emulator, addresses, options.cancels)


def main() -> None:
    options = _arguments()
    pin(1)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="exai-bench-") as folder:
        result = asyncio.run(_run(Path(folder), options))
    result["load_before"] = round(load, 1)
    show(result, AIMS)
    keep(result, options.json)


if __name__ == "__main__":
    main()
