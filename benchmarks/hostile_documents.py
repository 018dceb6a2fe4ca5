"""Documents that are bombs, loops or cut, put over HTTP and read: answers, incidents, and processes that are left.

Each is text or a refusal of 4xx; nothing is an incident, and every process that reads one is ended.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import structlog

from benchmarks.calls import ROOT
from benchmarks.figures import keep
from exai import config
from exai.storage.database import Database
from support.file_ports import file_port
from support.hostile_documents import hostile_documents
from support.hostile_readings import read_each


async def _measure(place: Path, documents: int, seed: int) -> dict[str, Any]:
    database = await Database.open(config.Database(), place / "database")
    began = time.perf_counter()
    try:
        with structlog.testing.capture_logs() as log:
            async with file_port(database, place / "files", keep_free_bytes=0) as port:
                readings = await read_each(port, hostile_documents(documents, seed))
    finally:
        await database.close()
    return {
        "documents": documents,
        "seed": seed,
        "answers": dict(readings.answers),
        "wrong": readings.wrong,
        "incidents": sum("incident" in str(line) or bool(line.get("exc_info")) for line in log),
        "processes_left": len(psutil.Process().children(recursive=True)),
        "seconds": round(time.perf_counter() - began, 1),
        "load": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench hostile-documents", description=__doc__)
    parser.add_argument("--documents", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--seed", type=int, default=11, help="of which they are made (default 11)")
    parser.add_argument(
        "--json",
        type=Path,
        default=ROOT / "benchmarks/results/hostile_documents.json",
        help="where the result goes",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="exai-bench-") as place:
        result = asyncio.run(_measure(Path(place), options.documents, options.seed))
    for name, count in sorted(result["answers"].items()):
        print(f"{name:<20} {count:>5}")
    for name in ("wrong", "incidents", "processes_left", "seconds"):
        print(f"{name:<20} {result[name]!s:>5}")
    keep(result, options.json)
    if result["wrong"] or result["incidents"] or result["processes_left"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
