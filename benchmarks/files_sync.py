"""What `exai files sync` of a folder that has not changed costs: CPU, bytes and requests.

The daemon runs on one core, the command on the other; a proxy between them counts what is moved. CPU counts, since
wall-clock on a busy machine says how busy it is. The command without a daemon stands beside it.
"""

import argparse
import asyncio
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.calls import ROOT, pin
from benchmarks.figures import keep, show
from benchmarks.raw_sessions import daemon
from support.tcp_proxy import tcp_proxy

FOLDERS = 40
LINES = 200
AIMS = {"CPU of the command, s": 1.0, "moved, bytes": 100_000}


def _make(folder: Path, files: int) -> None:
    draw = random.Random(1)
    for number in range(files):
        file = folder / f"part{number % FOLDERS}" / f"{number}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"value_{n} = {draw.random()}  # of a drawn file\n" for n in range(LINES)))


async def _sync(folder: Path, data: Path, *options: str) -> tuple[float, float]:
    """Run the command; its CPU and its time in seconds."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(data), "EXAI_DATA_DIR": str(data)}
    command = (str(Path(sys.executable).parent / "exai"), "files", "sync", str(folder), *options)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = await asyncio.create_subprocess_exec(*command, env=environ, stdout=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - began


async def _measure(place: Path, files: int, runs: int) -> dict[str, Any]:
    folder, data = place / "folder", place / "data"
    _make(folder, files)
    data.mkdir(mode=0o700)
    with daemon(str(data)) as (_, addresses):
        async with tcp_proxy(addresses["mcp_ws"]) as (proxy, url):
            first, _ = await _sync(folder, data, "--url", url)
            sent, asked = sum(proxy.carried.values()), proxy.requests
            with_daemon = [await _sync(folder, data, "--url", url) for _ in range(runs)]
            moved, requests = sum(proxy.carried.values()) - sent, proxy.requests - asked
    alone = [await _sync(folder, data, "--owner", "local") for _ in range(runs)]
    return {
        "first sync: CPU of the command, s": round(first, 2),
        "first sync: moved, bytes": sent,
        "CPU of the command, s": _median(with_daemon, 0),
        "wall-clock, s": _median(with_daemon, 1),
        "moved, bytes": moved / runs,
        "requests": requests / runs,
        "without a daemon: CPU, s": _median(alone, 0),
        "load of the machine": round(os.getloadavg()[0], 1),
    }


def _median(runs: Sequence[tuple[float, float]], which: int) -> float:
    return round(statistics.median(run[which] for run in runs), 2)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench files-sync", description=__doc__)
    parser.add_argument("--files", type=int, default=2_000, help="of the folder (default 2,000)")
    parser.add_argument("--runs", type=int, default=3, help="of which the median is shown (default 3)")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks/results/files_sync.json", help="where the result goes"
    )
    options = parser.parse_args()
    pin(1)
    with tempfile.TemporaryDirectory(prefix="exai-bench-") as place:
        result = asyncio.run(_measure(Path(place), options.files, options.runs))
    show(result, AIMS)
    keep(result, options.json)


if __name__ == "__main__":
    main()
