"""Twenty seeded faults: what is said of each without a model, whether the evidence decides, how long gathering takes.

Each is brought about in a daemon of its own before an emulator, whose clock leaps over waits; gathering is measured
by a real clock. Models are asked with `--models` alone: an emulated answer says nothing of accuracy, so it is printed
apart and in no table.
"""

import argparse
import asyncio
import io
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from benchmarks.figures import keep
from benchmarks.investigated import keys_of, put_to_emulated_models, put_to_models, timed
from exai import config
from exai.app.faults.release import release_of
from exai.app.monitoring import build_monitoring
from exai.app.watching.evidence import build_gatherer
from exai.config import Settings
from exai.error_tracking.faults import FaultSource
from exai.error_tracking.investigation.bundle import Subject
from exai.error_tracking.investigation.gathering.sources import commit_names
from exai.monitoring.logs import configure
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from support.migrated_databases import migrated_sqlite
from support.seeded_faults import SEEDED, Judged, Seeded, judge
from support.tracked_faults import tracked
from support.virtual_time import VirtualTimeLoop

__all__ = ["main"]

HEAD = ("fault", "of", "cause", "place", "report", "evidence", "tokens", "with a model")
LEAST_REPORTS, LEAST_EVIDENCE = 16, 19
RESULTS = Path(__file__).parent / "results" / "investigate.json"
"""Of real models alone."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench investigate", description=__doc__)
    parser.add_argument(
        "--only", nargs="*", default=[], metavar="NAME", help="of the faults, as the table has them"
    )
    parser.add_argument("--times", type=int, default=20, help="how often gathering is measured")
    parser.add_argument(
        "--whole",
        type=int,
        default=0,
        metavar="N",
        help="run so many whole investigations, of models emulated in 3 s",
    )
    parser.add_argument(
        "--models",
        choices=("real", "emulated"),
        help="have models investigate each fault: real ones by GLM_API_KEY and KIMI_API_KEY, for up to 0.15 USD each",
    )
    return parser.parse_args()


def _judged(seeded: Seeded) -> Judged:
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(judge(seeded, Path(folder)))


def _row(judged: Judged) -> tuple[str, ...]:
    report, bundle = judged.report, judged.bundle
    return (
        judged.seeded.name,
        judged.seeded.area,
        "-" if report is None else report.cause,
        "-" if report is None else report.place.partition(", line")[0],
        "right" if judged.is_right else "wrong",
        "decides" if judged.has_deciding else "does not",
        "-" if bundle is None else f"{bundle.tokens:,}",
        "not measured",
    )


async def _gathering(folder: Path, times: int) -> list[float]:
    """Gather for a fault of EXAI's own code in this checkout, each time with a new process that reads sources."""
    url = migrated_sqlite(folder / "exai.sqlite")
    database = await Database.open(config.Database.model_validate({"url": url}), folder)
    clock = SystemClock()
    process = await tracked(database, release=release_of())
    try:
        commit_names(cast("Any", None))
    except AttributeError as error:
        process.notices.notice(error, FaultSource.TASK)
    (group,) = await process.counted()
    (occurrence,) = await process.groups.occurrences(group, 1)
    gatherer = build_gatherer(Settings(), database, build_monitoring(clock, version="0"), clock)
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        bundle = await gatherer.gather(Subject(group, occurrence, occurrence.release))
        spent.append(time.perf_counter() - began)
    kinds = [each.kind for each in bundle.pieces]
    print(f"pieces: {', '.join(dict.fromkeys(kinds))}; {bundle.tokens:,} tokens")
    await database.close()
    return spent


async def _whole(times: int) -> None:
    seconds, requests = await timed(times)
    p95 = statistics.quantiles(seconds, n=20)[-1] if times > 1 else seconds[0]
    told = {number: requests.count(number) for number in sorted(set(requests))}
    print(
        f"whole investigations, {times}, of models that take 3 s: median {statistics.median(seconds):.1f} s, ",
        end="",
    )
    print(f"p95 {p95:.1f} s, longest {max(seconds):.1f} s; by number of requests {told}")


async def _levels(judged: Sequence[Judged], which: str) -> None:
    """Print how often each computed level was right; what an emulator says is printed apart, and kept nowhere."""
    keys = keys_of()
    if which == "real" and not keys:
        raise SystemExit(
            "Real models need GLM_API_KEY, KIMI_API_KEY or both; `--models emulated` tries the machinery."
        )
    if which == "emulated":
        table = await put_to_emulated_models(judged)
        print("\nEMULATED, which says nothing of accuracy and is no part of any table:")
    else:
        table = await put_to_models(judged, keys, emulated=False)
        print(f"\nhow often each level was right, {', '.join(table.models)}:")
    print("\n".join(table.lines()))
    usd = "not known" if table.usd is None else f"{table.usd:.3f} USD"
    print(f"{table.requests} requests, {table.tokens:,} tokens, {usd}, {sum(table.seconds):.0f} s")
    if not table.emulated:
        rows = {level: {"right": table.right[level], "of": number} for level, number in table.all.items()}
        keep({"models": table.models, "levels": rows, "requests": table.requests, "usd": table.usd}, RESULTS)


def main() -> None:
    """Judge, print the table, and end with 1 where it falls short."""
    asked = _arguments()
    configure(config.Logging(format="json"), stream=io.StringIO())
    judged = [_judged(each) for each in SEEDED if not asked.only or each.name in asked.only]
    rows = [HEAD, *map(_row, judged)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    reports, evidence = sum(each.is_right for each in judged), sum(each.has_deciding for each in judged)
    print(
        f"of {len(judged)}: the report without a model is right in {reports}, the evidence decides in {evidence}"
    )
    with tempfile.TemporaryDirectory() as folder:
        spent = asyncio.run(_gathering(Path(folder), asked.times))
    p95 = statistics.quantiles(spent, n=20)[-1]
    print(f"gathering, {len(spent)} times: median {statistics.median(spent):.2f} s, p95 {p95:.2f} s", end="")
    print(f", longest {max(spent):.2f} s")
    if asked.whole:
        asyncio.run(_whole(asked.whole))
    if asked.models:
        asyncio.run(_levels(judged, asked.models))
    if not asked.only and (reports < LEAST_REPORTS or evidence < LEAST_EVIDENCE):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
