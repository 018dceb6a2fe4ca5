"""How often a comparison sees a difference where none is, and finds one that is there: B4, on drawn calls."""

import argparse
from pathlib import Path

from benchmarks.figures import keep, show
from exai.cli.comparing.verdicts import compare_models
from support.compared_models import A, B, drawn_blocks

BLOCKS = 200
AIMS = {"false verdicts without a difference, share": 0.07}


def main() -> None:
    """Draw calls with a known difference, compare, and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="comparisons of each kind")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/comparison.json"))
    asked = parser.parse_args()
    figures: dict[str, float] = {}
    for name, slower in (("none", 1.0), ("10 %", 1.1), ("30 %", 1.3)):
        found = held = 0
        for seed in range(asked.seeds):
            blocks = drawn_blocks(BLOCKS, seed, slower=slower)
            total = compare_models(blocks, A, B, resamples=200).measures[0]
            found += total.verdict in {"A", "B"}
            assert total.low is not None
            assert total.high is not None
            held += total.low <= slower <= total.high
        what = "false verdicts without a difference, share" if slower == 1 else f"found of {name}, share"
        figures[what] = found / asked.seeds
        figures[f"truth inside the interval, difference {name}, share"] = held / asked.seeds
    show(figures, AIMS)
    keep({"seeds": asked.seeds, "blocks": BLOCKS, "figures": figures}, asked.json)


if __name__ == "__main__":
    main()
