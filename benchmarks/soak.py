"""A hundred thousand clients that connect, call and leave, every other one without a goodbye: does memory grow?"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.calls import ROOT, pin
from benchmarks.figures import keep, show
from benchmarks.raw_sessions import connect_raw, daemon

AIMS = {"slope_lower_bound_bytes": 0.0, "descriptors_left": 0}
AT_ONCE = 16
SAMPLES = 100
WARM_UP = 0.3
"""Share of the samples that is left out: pools, caches and the allocator take what they need once."""
Z95 = 1.96
CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {
        "name": "models",
        "arguments": {},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    },
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench soak", description=__doc__)
    parser.add_argument("--cycles", type=int, default=100_000, help="clients (default 100,000)")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks/results/soak.json", help="where the result goes"
    )
    return parser.parse_args()


async def _cycle(url: str, number: int) -> None:
    session = await connect_raw(url)
    session.send({"t": "open", "credit": 100})
    await session.receive()
    session.send({"t": "m", "s": 1, "a": 0, "m": CALL})
    answer = (await session.message())["m"]
    assert "result" in answer, answer
    assert session.transport is not None
    if number % 2:
        session.send({"t": "bye"})
        session.transport.close()
    else:
        session.transport.abort()


def _slope(points: list[tuple[int, int]]) -> tuple[float, float]:
    """Bytes per cycle by least squares, and the lower end of its 95 % interval."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    slope, offset = statistics.linear_regression(xs, ys)
    mean = statistics.fmean(xs)
    spread = sum((x - mean) ** 2 for x in xs)
    left = sum((y - offset - slope * x) ** 2 for x, y in points) / (len(points) - 2)
    return slope, slope - Z95 * (left / spread) ** 0.5


async def _measure(url: str, pid: int, cycles: int) -> dict[str, float]:
    process = psutil.Process(pid)
    await _cycle(url, 1)
    descriptors = process.num_fds()
    numbers = iter(range(cycles))
    points: list[tuple[int, int]] = []

    async def clients() -> None:
        for number in numbers:
            await _cycle(url, number)
            if number % max(1, cycles // SAMPLES) == 0:
                points.append((number, process.memory_info().rss))

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(clients())
    elapsed = time.perf_counter() - began
    end = time.monotonic() + 30
    while process.num_fds() > descriptors and time.monotonic() < end:  # noqa: ASYNC110 - seen from outside
        await asyncio.sleep(0.2)
    points.sort()
    settled = points[int(len(points) * WARM_UP) :]
    slope, lower = _slope(settled)
    return {
        "cycles": cycles,
        "cycles_per_s": round(cycles / elapsed, 1),
        "memory_start_mb": round(settled[0][1] / 2**20, 1),
        "memory_end_mb": round(settled[-1][1] / 2**20, 1),
        "slope_bytes_per_cycle": round(slope, 2),
        "slope_lower_bound_bytes": round(lower, 2),
        "descriptors_left": process.num_fds() - descriptors,
    }


def main() -> None:
    options = _arguments()
    pin(1)
    with (
        tempfile.TemporaryDirectory(prefix="exai-bench-") as folder,
        daemon(folder, EXAI_SESSIONS__GRACE_S="1", EXAI_SESSIONS__MAX_SESSIONS="100000") as (
            running,
            addresses,
        ),
    ):
        result = asyncio.run(_measure(addresses["mcp_ws"], running.pid, options.cycles))
    show(result, AIMS)
    keep(result, options.json)


if __name__ == "__main__":
    main()
