"""What the tools hold whatever is asked of them: a table of figures beside their aims.

    scripts/bench tools [--only MEASURE …] [--share 0.01] [--databases sqlite postgresql]

Each measure is a module in `benchmarks/tool_figures`. The JSON keeps the latest rows of each, with its day and the load
of the machine, so that they can be measured one after another. No key and no model is needed.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.calls import ROOT
from benchmarks.figures import keep
from benchmarks.tool_figures import (
    citations,
    conformity,
    debug_recall,
    interleavings,
    kills,
    obedience,
    prefixes,
    reviews,
    storms,
)
from benchmarks.tool_figures.figure import Figure, Measure, Scale
from support.virtual_time import VirtualTimeLoop

MEASURES: Mapping[str, Measure] = {
    "citations": citations.measure,
    "conformity": conformity.measure,
    "debug_recall": debug_recall.measure,
    "interleavings": interleavings.measure,
    "kills": kills.measure,
    "obedience": obedience.measure,
    "prefixes": prefixes.measure,
    "storms": storms.measure,
    "review_recall": reviews.measure_recall,
    "reviews": reviews.measure_standard,
    "reviews_deep": reviews.measure_deep,
}
IN_VIRTUAL_TIME = {"obedience", "prefixes", "storms"}
"""Those whose loop jumps to the next timer instead of waiting."""
DATABASES = ("sqlite", "postgresql")


def _show(name: str, figures: Sequence[Figure]) -> None:
    print(f"\n{name} (load {os.getloadavg()[0]:.1f})")
    for figure in figures:
        verdict = "reached" if figure.reached else "MISSED"
        print(f"  {figure.what}\n      {figure.measured}   aim {figure.aim}: {verdict}", flush=True)


def _kept(place: Path) -> dict[str, Any]:
    """The rows that were measured before."""
    if not place.is_file():
        return {}
    measures: dict[str, Any] = json.loads(place.read_text(encoding="utf-8")).get("measures", {})
    return measures


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/bench tools", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=[*MEASURES], help="these measures")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the counts that the aims name (default 1)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=["sqlite"])
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks/results/tools.json", help="where the result goes"
    )
    options = parser.parse_args()
    scale = Scale(options.share, options.seed, tuple(options.databases))
    missed = False
    for name in options.only:
        with asyncio.Runner(loop_factory=VirtualTimeLoop if name in IN_VIRTUAL_TIME else None) as runner:
            figures = runner.run(MEASURES[name](scale))
        _show(name, figures)
        missed = missed or not all(figure.reached for figure in figures)
        row = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "load": round(os.getloadavg()[0], 1),
            "share": options.share,
            "figures": msgspec.to_builtins(figures),
        }
        keep({"measures": {**_kept(options.json), name: row}}, options.json)
    if missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
