"""Links that are swapped in and out of paths while these are opened: what comes from outside, at each way in.

By the tool, by what `exai connect` carries and by `exai files sync`, nothing may. `exai files put` reads what its user
names, links included; there a file of which a part is another one's may not be stored.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.calls import ROOT
from benchmarks.figures import keep
from exai import config
from exai.storage.database import Database
from support.link_races import INSIDE, OUTSIDE, race
from support.shelves import OpenShelf


async def _measure(place: Path, rounds: int) -> dict[str, Any]:
    database = await Database.open(config.Database(), place / "database")
    try:
        done, came = await race(place, OpenShelf(database, place / "store"), rounds)
    finally:
        await database.close()
    allowed = {"tool": {INSIDE}, "bridge": {INSIDE}, "sync": {INSIDE}, "command": {INSIDE, OUTSIDE}}
    outside = {way: sum(map(len, came[way] - contents)) for way, contents in allowed.items()}
    return {"rounds": rounds, "done": dict(done), "bytes_from_outside": outside, "load": os.getloadavg()[0]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench link-races", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10_000, help="of each way (default 10,000)")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks/results/link_races.json", help="where the result goes"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="exai-bench-") as place:
        result = asyncio.run(_measure(Path(place), options.rounds))
    for name, count in sorted(result["done"].items()):
        print(f"{name:<20} {count:>7}")
    print(f"bytes from outside: {result['bytes_from_outside']}")
    keep(result, options.json)
    if any(result["bytes_from_outside"].values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
