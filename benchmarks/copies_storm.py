"""Storms of stored files and their copies at failing providers; counts what lies there without a row, and the reverse.

Two processes' parts put, send, read, remove, cancel, settle and delete on one database, while the emulator cuts,
refuses, loses answers, answers with what is no answer, and lists late. Then everything is settled and compared; then
everything is removed, and what is still there is counted.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import structlog

from benchmarks.calls import ROOT
from benchmarks.figures import keep, show
from exai import config
from exai.monitoring import logs
from exai_emulator import EmulatorOptions, running
from support.copies_storm import run_copies_storm

WRONG = (
    "objects_without_row",
    "rows_without_object",
    "objects_after_deletion",
    "contents_after_deletion",
    "unforeseen",
)


async def _measure(folder: Path, storms: int, operations: int, seed: int) -> dict[str, Any]:
    totals = dict.fromkeys(("operations", "failed", "faults", *WRONG), 0)
    for number in range(storms):
        began = time.monotonic()
        async with running(EmulatorOptions()) as emulator:
            result = await run_copies_storm(emulator, folder / str(number), seed + number, operations)
        found = {**asdict(result), "unforeseen": len(result.unforeseen)}
        totals["operations"] += operations
        totals["failed"] += result.failed.total()
        totals["faults"] += result.faults
        for name in WRONG:
            totals[name] += found[name]
        print(f"seed {seed + number}: {dict(result.done)}, {time.monotonic() - began:.0f} s", flush=True)
    return totals


def _drop(*_: object) -> NoReturn:
    raise structlog.DropEvent


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench copies-storm", description=__doc__)
    parser.add_argument(
        "--storms", type=int, default=3, help="how many, each with a seed of its own (default 3)"
    )
    parser.add_argument("--operations", type=int, default=1_000, help="of a storm (default 1,000)")
    parser.add_argument("--seed", type=int, default=1, help="of the first storm (default 1)")
    parser.add_argument(
        "--json",
        type=Path,
        default=ROOT / "benchmarks/results/copies_storm.json",
        help="where the result goes",
    )
    options = parser.parse_args()
    logs.configure(config.Logging(level="error", format="json"))
    structlog.configure(processors=[_drop])  # each fault would be a line of the log
    with tempfile.TemporaryDirectory(prefix="exai-bench-") as folder:
        result = asyncio.run(_measure(Path(folder), options.storms, options.operations, options.seed))
    show(result, dict.fromkeys(WRONG, 0))
    keep(result, options.json)
    if any(result[name] for name in WRONG):
        sys.exit(1)


if __name__ == "__main__":
    main()
