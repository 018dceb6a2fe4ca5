"""Kills a store of files at every step, and fails its disk at every call; counts what is wrong afterwards.

A process that puts, removes and collects is killed before and after each write, flush, rename, unlink and commit; then
drawn operations at drawn steps. The next process looks after the store, and what was acknowledged is compared with
its rows and bytes: lost, undead, diverged, temporary. The same calls fail with EIO and ENOSPC, once and until mended,
in a process that goes on.
"""

import argparse
import asyncio
import errno
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import structlog

from benchmarks.calls import ROOT
from benchmarks.figures import keep
from exai import config
from exai.monitoring import logs
from exai.storage.database import Database
from support.faulty_store import RunOnDisk, run_on_faulty_disk, upload_to_faulty_disk
from support.forked_runs import ForkedRuns, forked_runs
from support.store_audit import audit

PROCESS = ROOT / "tests" / "support" / "shelf_process.py"
AT_ONCE = 8
KILLED = -9
LAST_DRAWN_STEP = 160
MORE_THAN_ALL = 10_000


class Bench:
    """Runs on copies of one empty store."""

    def __init__(self, folder: Path, processes: ForkedRuns) -> None:
        self._folder = folder
        self._processes = processes
        self._number = 0
        self.wrong: Counter[str] = Counter()
        self.examples: dict[str, str] = {}

    def store(self) -> Path:
        """A further empty store."""
        self._number += 1
        place = self._folder / str(self._number)
        shutil.copytree(self._folder / "empty", place)
        return place

    def note(self, where: str, faults: Sequence[str]) -> None:
        for fault in faults:
            kind = fault.partition(":")[0]
            self.wrong[kind] += 1
            self.examples.setdefault(kind, f"{where}: {fault}")

    async def kill(self, orders: Sequence[dict[str, Any]]) -> list[int]:
        """Run orders side by side, and look at what each has left; how each ended."""
        places = [self.store() for _ in orders]
        full = [{**order, "data_dir": str(place)} for order, place in zip(orders, places, strict=True)]
        codes = list(await self._processes.run(*full))
        for order, place, code in zip(orders, places, codes, strict=True):
            self.note(f"{order}", await audit(place) if code in {KILLED, 0} else [f"ended with {code}"])
            shutil.rmtree(place)
        return codes

    async def every_step(self) -> int:
        """Kill at each step until none is left; how many there were."""
        killed = 0
        for first in range(1, MORE_THAN_ALL, AT_ONCE):
            codes = await self.kill([{"kill_at": step} for step in range(first, first + AT_ONCE)])
            killed += codes.count(KILLED)
            if 0 in codes:
                break
        return killed

    async def drawn(self, runs: int, seed: int) -> int:
        """Kill drawn operations at drawn steps; how many were killed before their end."""
        draw, killed = random.Random(seed), 0
        orders = [{"kill_at": draw.randrange(1, LAST_DRAWN_STEP), "seed": seed + run} for run in range(runs)]
        for start in range(0, runs, AT_ONCE):
            killed += (await self.kill(orders[start : start + AT_ONCE])).count(KILLED)
        return killed

    async def every_fault(self, run: RunOnDisk) -> int:
        """Fail at each call with each error, once and until mended; how many runs that were."""
        calls = await self._fail(run, MORE_THAN_ALL, errno.EIO, lasting=False)
        runs = 0
        for fails_at, code, lasting in _faults(calls):
            await self._fail(run, fails_at, code, lasting=lasting)
            runs += 1
        return runs

    async def _fail(self, run: RunOnDisk, fails_at: int, code: int, *, lasting: bool) -> int:
        place = self.store()
        database = await Database.open(config.Database(), place)
        disk, wrong = await run(database, place / "files", fails_at, code, lasting=lasting)
        await database.close()
        shutil.rmtree(place)
        self.note(f"{errno.errorcode[code]} at call {fails_at}, {lasting=}", wrong)
        return disk.calls


def _faults(calls: int) -> Iterator[tuple[int, int, bool]]:
    for fails_at in range(1, calls + 1):
        for code in (errno.EIO, errno.ENOSPC):
            for lasting in (False, True):
                yield fails_at, code, lasting


async def _measure(folder: Path, runs: int, seed: int) -> dict[str, Any]:
    await (await Database.open(config.Database(), folder / "empty")).close()
    result: dict[str, Any] = {}
    async with forked_runs(PROCESS) as processes:
        bench = Bench(folder, processes)
        for name, work in (
            ("killed at every step", bench.every_step()),
            ("killed at drawn steps", bench.drawn(runs, seed)),
            ("failed at every call", bench.every_fault(run_on_faulty_disk)),
            ("uploads failed at every", bench.every_fault(upload_to_faulty_disk)),
        ):
            began = time.monotonic()
            result[name] = await work
            print(f"{name:<24} {result[name]:>6} runs   {time.monotonic() - began:>6.0f} s", flush=True)
    for kind, count in bench.wrong.most_common():
        print(f"WRONG {kind}: {count}, such as {bench.examples[kind]}")
    return {**result, "wrong": dict(bench.wrong)}


def _drop(*_: object) -> NoReturn:
    raise structlog.DropEvent


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench files-kill", description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000, help="of drawn operations (default 1,000)")
    parser.add_argument("--seed", type=int, default=1, help="what draws them (default 1)")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks/results/files_kill.json", help="where the result goes"
    )
    options = parser.parse_args()
    logs.configure(config.Logging(level="error", format="json"))
    structlog.configure(processors=[_drop])  # each fault would be a line of the log
    with tempfile.TemporaryDirectory(prefix="exai-bench-") as folder:
        result = asyncio.run(_measure(Path(folder), options.runs, options.seed))
    print("nothing was lost, undead, diverged or left" if not result["wrong"] else "")
    keep(result, options.json)
    if result["wrong"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
