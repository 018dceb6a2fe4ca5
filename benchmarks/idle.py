"""Ten thousand idle sessions: memory and CPU that they cost, handshakes beside them, and what is left after them."""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.calls import ROOT, pin
from benchmarks.figures import keep, show
from benchmarks.raw_sessions import RawSession, connect_raw, daemon

AIMS = {
    "kib_per_socket": 32.0,
    "idle_cpu_share": 0.05,
    "handshake_p50_ms": 10.0,
    "dropped": 0,
    "descriptors_left": 0,
}
AT_ONCE = 100
HANDSHAKES = 200


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench idle", description=__doc__)
    parser.add_argument("--sockets", type=int, default=10_000, help="how many (default 10,000)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long they idle (default 60)")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks/results/idle.json", help="where the result goes"
    )
    return parser.parse_args()


async def _open(url: str) -> RawSession:
    session = await connect_raw(url)
    session.send({"t": "open", "credit": 100})
    assert (await session.receive())["t"] == "opened"
    return session


async def _close(session: RawSession) -> None:
    session.send({"t": "bye"})
    while session.is_open:  # noqa: ASYNC110 - seen from outside
        await asyncio.sleep(0.01)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def _measure(url: str, pid: int, sockets: int, seconds: float) -> dict[str, float]:
    process = psutil.Process(pid)
    await _close(await _open(url))
    before, descriptors = process.memory_info().rss, process.num_fds()
    sessions: list[RawSession] = []
    for start in range(0, sockets, AT_ONCE):
        sessions += await asyncio.gather(*(_open(url) for _ in range(min(AT_ONCE, sockets - start))))
    after = process.memory_info().rss
    print(f"{sockets} sessions are open; idling for {seconds:g} s", flush=True)
    cpu = _cpu_s(process)
    await asyncio.sleep(seconds)
    share = (_cpu_s(process) - cpu) / seconds
    dropped = sum(not session.is_open for session in sessions)
    handshakes = []
    for _ in range(HANDSHAKES):
        began = time.perf_counter()
        session = await _open(url)
        handshakes.append(time.perf_counter() - began)
        await _close(session)
    for session in sessions:
        session.send({"t": "bye"})
    end = time.monotonic() + 60
    while process.num_fds() > descriptors and time.monotonic() < end:  # noqa: ASYNC110 - seen from outside
        await asyncio.sleep(0.1)
    return {
        "sockets": sockets,
        "kib_per_socket": round((after - before) / sockets / 1024, 1),
        "idle_cpu_share": round(share, 4),
        "handshake_p50_ms": round(statistics.median(handshakes) * 1000, 2),
        "dropped": dropped,
        "descriptors_left": process.num_fds() - descriptors,
    }


def main() -> None:
    options = _arguments()
    pin(1)
    with (
        tempfile.TemporaryDirectory(prefix="exai-bench-") as folder,
        daemon(folder, EXAI_SESSIONS__MAX_SESSIONS=str(options.sockets + 10)) as (running, addresses),
    ):
        result = asyncio.run(_measure(addresses["mcp_ws"], running.pid, options.sockets, options.seconds))
    show(result, AIMS)
    keep(result, options.json)


if __name__ == "__main__":
    main()
