"""Citations that lie and runs that are interleaved: what is called verified though false, and words of another run.

Citations are true, shifted, in the wrong file, paraphrased and invented, by seed. Four runs of one owner and of two are
answered in the order of a seed, request by request.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.calls import ROOT
from benchmarks.figures import keep
from exai import config
from exai.storage.database import Database
from exai.workflows.citations import check

sys.path.insert(0, str(ROOT / "tests"))

from support.citations import LIES, lies
from support.interleaved_runs import interleave


def _citations(count: int) -> dict[str, Any]:
    found: dict[str, Counter[str]] = {kind: Counter() for kind in LIES}
    began = time.process_time()
    for lie in lies(random.Random(1), count):
        found[lie.kind][check(lie.citation, lie.shown).state] += 1
    seconds = time.process_time() - began
    wrong = sum(number for kind in LIES for state, number in found[kind].items() if state not in LIES[kind])
    return {
        "count": count,
        "found": {kind: dict(states) for kind, states in found.items()},
        "wrong": wrong,
        "ms_per_100": round(seconds * 100_000 / count, 1),
    }


async def _interleavings(place: Path, count: int) -> dict[str, int]:
    database = await Database.open(config.Database(), place / "database")
    foreign = wrong = 0
    try:
        for seed in range(count):
            owners = ("anna",) if seed % 2 else ("anna", "ben")
            words, steps = await interleave(database, place, owners, seed)
            foreign, wrong = foreign + words, wrong + steps
    finally:
        await database.close()
    return {"schedules": count, "words_of_another_run": foreign, "wrong_steps": wrong}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench workflows", description=__doc__)
    parser.add_argument("--citations", type=int, default=10_000, help="how many (default 10,000)")
    parser.add_argument("--schedules", type=int, default=10_000, help="of four runs each (default 10,000)")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks/results/workflows.json", help="where the result goes"
    )
    options = parser.parse_args()
    citations = _citations(options.citations)
    with tempfile.TemporaryDirectory(prefix="exai-bench-") as place:
        runs = asyncio.run(_interleavings(Path(place), options.schedules))
    for kind, states in citations["found"].items():
        print(f"{kind:<12} {states}")
    print(f"citations misjudged: {citations['wrong']}, {citations['ms_per_100']} ms for 100")
    print(f"runs: {runs}")
    keep({"citations": citations, "runs": runs, "load": os.getloadavg()[0]}, options.json)
    if citations["wrong"] or runs["words_of_another_run"] or runs["wrong_steps"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
