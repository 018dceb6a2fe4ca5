"""What gathering the evidence of a change costs: CPU and memory of its process, and how long the loop was held.

The workspace is made by seed: 2,000 files whose functions call one another, in a repository, with 400 changed lines in
16 of them. CPU counts, since wall-clock on a busy machine says how busy it is.
"""

import argparse
import asyncio
import os
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.calls import ROOT
from benchmarks.figures import keep, show
from exai.evidence.packing import Packer
from exai.evidence.pieces import Bounds, Wanted
from exai.evidence.requests import Opening
from exai.evidence.workspace import Workspace
from support.repositories import GitRepository

SOURCES = ("change", "changed_parts", "called_definitions", "callers", "tests", "configuration")
FUNCTIONS = 20
CHANGED_FILES = 16
CHANGED_LINES = 25
"""Of each changed file."""
FOLDERS = 40
ROOM = 16_000
AIMS = {"CPU, s": 1.5, "memory of the process, MB": 120.0, "loop held at most, ms of CPU": 10.0}


def _source(number: int, files: int, draw: random.Random) -> str:
    lines = [f'"""Part {number}."""\n']
    for each in range(FUNCTIONS):
        called = f"work_{draw.randrange(files)}_{draw.randrange(FUNCTIONS)}"
        lines += [f"\n\ndef work_{number}_{each}(value):\n    total = value + {each}\n"]
        lines += [f"    total = {called}(total) * {n}\n" for n in range(4)]
        lines += ["    return total\n"]
    return "".join(lines)


def _make(folder: Path, files: int) -> None:
    draw = random.Random(1)
    made = GitRepository(folder)
    paths = [f"part{number % FOLDERS}/file_{number}.py" for number in range(files)]
    made.commit({path: _source(number, files, draw) for number, path in enumerate(paths)}, "begin")
    for path in draw.sample(paths, CHANGED_FILES):
        lines = (folder / path).read_text().splitlines()
        for at in range(6, 6 + 2 * CHANGED_LINES, 2):
            lines[at] += "  # changed"
        (folder / path).write_text("\n".join(lines) + "\n")


async def _held(longest: list[float]) -> None:
    """Notice how much CPU the loop takes between two of its turns: with other programs beside, time says less."""
    while True:
        before = time.thread_time()
        await asyncio.sleep(0.001)
        longest.append(time.thread_time() - before)


async def _gather(folder: str) -> tuple[float, float, float, int, int]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = time.process_time()
    late: list[float] = [0.0]
    async with asyncio.TaskGroup() as tasks:
        ticking = tasks.create_task(_held(late), name="notice a held loop")
        workspace = Workspace(Opening(folder=folder, roots=(folder,)))
        found = await workspace.gather(SOURCES, Wanted(change="all"), Bounds())
        await workspace.close()
        ticking.cancel()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    packed = Packer().pack(found.pieces, ROOM)
    own = time.process_time() - own
    return cpu + own, after.ru_maxrss / 1024, max(late) * 1_000, len(found.pieces), packed.tokens


def _median(runs: Sequence[Sequence[float]], which: int) -> float:
    return round(statistics.median(run[which] for run in runs), 2)


async def _measure(folder: Path, runs: int) -> dict[str, Any]:
    done = [await _gather(str(folder)) for _ in range(runs)]
    return {
        "CPU, s": _median(done, 0),
        "memory of the process, MB": _median(done, 1),
        "loop held at most, ms of CPU": _median(done, 2),
        "pieces": _median(done, 3),
        "tokens in a room of 16,000": _median(done, 4),
        "load of the machine": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench evidence", description=__doc__)
    parser.add_argument("--files", type=int, default=2_000, help="of the workspace (default 2,000)")
    parser.add_argument("--runs", type=int, default=3, help="of which the median is shown (default 3)")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks/results/evidence.json", help="where the result goes"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="exai-bench-") as place:
        folder = Path(place).resolve() / "workspace"
        _make(folder, options.files)
        result = asyncio.run(_measure(folder, options.runs))
    show(result, AIMS)
    keep(result, options.json)


if __name__ == "__main__":
    main()
