"""What the dashboard costs daemon and browser: panels, searches and a long list over a large journal, the feed at
1,000 events a second, how late a breaker and a first load are, how soon a cancelled call's connection is closed; and
whether waterfalls say what the journal says."""

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
from functools import partial
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import aiohttp
from sqlalchemy import Connection, text
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from benchmarks import dashboard_page
from benchmarks.calls import ROOT, first_line, pin, process
from benchmarks.figures import keep, show
from exai import config
from exai.storage.database import Database
from exai.storage.write_operations import LockGroup, row_by_row
from exai_emulator import Emulator, EmulatorOptions, Fault, running
from support.browsers import browser_process

AIMS = {
    "slowest_panel_ms": 300,
    "slowest_search_ms": 300,
    "feed_core_share_per_browser": 0.02,
    "feed_core_share_of_all_browsers": 0.15,
    "slowest_cancel_ms": 200,
    "slowest_load_until_live_ms": 1_000,
    "first_load_raw_kb": 150,
    "first_load_compressed_kb": 60,
    "slowest_open_breaker_on_the_page_ms": 2_000,
    "slowest_closed_breaker_off_the_page_ms": 2_000,
    "longest_task_of_the_page_ms": 100,
    "heap_growth_of_the_page_mb": 10,
    "most_row_elements": 80,
    "longest_frame_of_scrolling_ms": 50,
    "worst_stage_beside_the_journal_ms": 1,
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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench dashboard", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the journal (default 1,000,000)")
    parser.add_argument("--rounds", type=int, default=5, help="of every panel and search (default 5)")
    parser.add_argument("--seconds", type=float, default=60, help="of the feed, for each number of browsers")
    parser.add_argument("--events", type=float, default=1_000, help="a second (default 1,000)")
    parser.add_argument("--browsers", type=int, default=20, help="at the feed (default 20)")
    parser.add_argument(
        "--loads", type=int, default=10, help="of the page, and openings of a breaker (default 10)"
    )
    parser.add_argument("--scrolled", type=int, default=10_000, help="rows of the list (default 10,000)")
    parser.add_argument(
        "--waterfalls", type=int, default=3_000, help="calls, of some of which spans are kept (default 3,000)"
    )
    parser.add_argument("--cancels", type=int, default=30, help="calls that are cancelled (default 30)")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/dashboard.json")
    return parser.parse_args()


FILL = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :last)
INSERT INTO calls (
    call_id, run_id, owner, door, client, tool, model_requested, model_used, provider, requests, conversation_id,
    began_at, outcome, error_code, input_tokens, output_tokens, cost_usd, without_price, emulated, report,
    latency_ms, first_token_ms
)
SELECT
    printf('call_%011x', i), 'run_bench', 'caller-' || (i % 40), 'websocket', 'client ' || (i % 7),
    CASE i % 4 WHEN 0 THEN 'chat' WHEN 1 THEN 'analyze' WHEN 2 THEN 'review' ELSE 'think' END,
    'glm-5.3', CASE i % 3 WHEN 0 THEN 'glm-5.3' WHEN 1 THEN 'kimi-k3' ELSE 'glm-4.7' END,
    CASE i % 3 WHEN 1 THEN 'kimi' ELSE 'glm' END, 1 + i % 2, 'conv_' || i,
    strftime('%Y-%m-%d %H:%M:%f', 'now', '-' || ((:last - i) * 2592000.0 / :last) || ' seconds') || '000',
    CASE WHEN i % 29 = 0 THEN 'failed' ELSE 'ok' END,
    CASE WHEN i % 58 = 0 THEN 'circuit_open' WHEN i % 29 = 0 THEN 'overloaded' END,
    i % 9000, i % 900, i % 1000 / 2500.0, 0, 0, hex(zeroblob(150)), i * 7919 % 60000, i * 7919 % 3000
FROM n
"""
"""A journal of 30 days, written by SQLite itself."""


@row_by_row(LockGroup.CALLS)
def _write(connection: Connection, rows: int) -> None:
    connection.execute(text(FILL), {"last": rows - 1})


async def _fill(folder: Path, rows: int) -> None:
    database = await Database.open(config.Database(), folder)
    try:
        await database.write(_write, rows)
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
    async for frame in socket:
        counts[0] += 1
        counts[1] += len(frame)


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


def _publish(daemon: Popen[str], rate: float) -> None:
    """Have the daemon publish so many events a second from now on."""
    assert daemon.stdin is not None
    daemon.stdin.write(f"{rate}\n")
    daemon.stdin.flush()


async def _page(
    daemon: Popen[str], emulator: Emulator, addresses: dict[str, str], options: argparse.Namespace
) -> dict[str, float]:
    operations = addresses["operations"]
    with browser_process() as browser:
        return {
            **await dashboard_page.first_load(browser, operations, options.loads),
            **await dashboard_page.breakers(browser, emulator, addresses, options.loads),
            **await dashboard_page.long_list(browser, operations, options.scrolled),
            **await dashboard_page.feed(
                browser, operations, partial(_publish, daemon), options.events, options.seconds
            ),
        }


async def _feed(daemon: Popen[str], operations: str, options: argparse.Namespace) -> dict[str, float]:
    _publish(daemon, options.events)
    without, _ = await _share(daemon, operations, 0, options.seconds)
    with_one, _ = await _share(daemon, operations, 1, options.seconds)
    with_all, counts = await _share(daemon, operations, options.browsers, options.seconds)
    _publish(daemon, 0)
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
            figures |= await _page(daemon, emulator, addresses, options)
            figures |= await dashboard_page.waterfalls(emulator, addresses, options.waterfalls)
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
