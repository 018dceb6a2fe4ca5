"""Parts by themselves: digests, clean-up, metrics, breaker, authentication; writes JSON and a page with plots."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.plots import bars, lines, page, table

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"

Runs = list[dict[str, Any]]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench components", description=__doc__)
    parser.add_argument("--json", type=Path, default=RESULTS / "components.json", help="where the figures go")
    parser.add_argument("--html", type=Path, default=RESULTS / "components.html", help="where the page goes")
    parser.add_argument("--only", metavar="WORD", help="run the benchmarks whose name has this word")
    return parser.parse_args()


def _run(into: Path, only: str | None) -> dict[str, Any]:
    into.parent.mkdir(parents=True, exist_ok=True)
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "timeout=900",
        f"--benchmark-json={into}",
        "--ignore=benchmarks/corpus",
    ]
    if only:
        options += ["-k", only]
    done = subprocess.run([sys.executable, "-m", "pytest", "benchmarks", *options], cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    found: dict[str, Any] = json.loads(into.read_text(encoding="utf-8"))
    return found


def _group(found: dict[str, Any], name: str) -> Runs:
    return [run for run in found["benchmarks"] if run["group"] == name]


def _arm(run: dict[str, Any]) -> str:
    return str(run["extra_info"]["arm"])


def _median_us(run: dict[str, Any]) -> float:
    return float(run["stats"]["median"]) * 1e6


def _hash(runs: Runs) -> str:
    rates: dict[str, dict[int, float]] = {}
    used: dict[str, list[str]] = {}
    for run in runs:
        info = run["extra_info"]
        rates.setdefault(_arm(run), {})[info["bytes"]] = info["bytes"] / (run["stats"]["min"] * 1e6)
        used[_arm(run)] = info["used_in"]
    rows = []
    for arm, by_size in rates.items():
        limit = max(by_size.values())
        rows += [
            [arm, f"{size:,}", f"{rate:,.0f}", f"{rate / limit:.0%}"]
            for size, rate in sorted(by_size.items())
        ]
    where = [[arm, ", ".join(modules) or "nowhere"] for arm, modules in used.items()]
    return (
        lines(
            "MB/s by size of the input, the best of many rounds (both axes logarithmic)", rates, unit="MB/s"
        )
        + table(["library", "bytes", "MB/s", "of its own best"], rows)
        + table(["library", "used by EXAI in"], where)
        + "<p>EXAI uses SHA-256 everywhere: digests name files and open sessions, so they must resist forgery, "
        "which XXH3 does not; and the largest thing digested on the way of a call is a picture of some megabytes.</p>"
    )


def _cleanup(runs: Runs) -> str:
    rows = []
    for run in runs:
        info = run["extra_info"]
        sweep_ms = _median_us(run) / 1000
        rows += [
            [f"sweep of {info['sessions']:,} sessions, CPU", f"{sweep_ms:.1f} ms", "100 ms", sweep_ms < 100],
            [
                "longest block of the loop, CPU",
                f"{info['longest_block_ms']:.1f} ms",
                "10 ms",
                info["longest_block_ms"] < 10,
            ],
        ]
    return table(
        ["figure", "measured", "aim", "reached"], [[*row[:3], "yes" if row[3] else "no"] for row in rows]
    )


def _metrics(runs: Runs) -> str:
    per_call = {_arm(run): _median_us(run) / run["extra_info"]["calls"] for run in runs}
    share = per_call["with metrics"] / per_call["without metrics"] - 1
    verdict = "yes" if share < 0.05 else "no"
    return bars("CPU per call, µs (client and daemon together)", per_call, unit="µs") + table(
        ["figure", "measured", "aim", "reached"], [["metrics add", f"{share:+.1%}", "below 5 %", verdict]]
    )


def _breaker(runs: Runs) -> str:
    cost = {_arm(run): _median_us(run) * 1000 for run in runs}
    empty = cost["no breaker (an empty scope)"]
    added = cost["EXAI, check and request"] - empty
    return bars("A request that goes well, ns", cost, unit="ns") + table(
        ["figure", "measured", "aim", "reached"],
        [["EXAI adds to a closed request", f"{added:.0f} ns", "1,000 ns", "yes" if added <= 1000 else "no"]],
    )


def _authentication(runs: Runs) -> str:
    cost = {_arm(run): _median_us(run) / run["extra_info"]["calls"] for run in runs}
    known = max(us for arm, us in cost.items() if arm.startswith("known"))
    return bars("One admission, µs", cost, unit="µs") + table(
        ["figure", "measured", "aim", "reached"],
        [
            [
                "a known token, per socket or request",
                f"{known:.1f} µs",
                "100 µs",
                "yes" if known <= 100 else "no",
            ]
        ],
    )


PARTS = {
    "authentication": ("What it costs to know who is at the door", _authentication),
    "hash": ("Digests", _hash),
    "cleanup": ("Clean-up of idle sessions", _cleanup),
    "metrics": ("What metrics cost", _metrics),
    "breaker": ("What a closed circuit breaker costs", _breaker),
}


def main() -> None:
    options = _arguments()
    found = _run(options.json, options.only)
    machine = found["machine_info"]
    about = (
        f"{found['datetime'][:19]}, Python {machine['python_version']}, {machine['system']}, "
        f"{machine['cpu'].get('brand_raw', machine['machine'])}"
    )
    sections = [
        (title, show(runs)) for group, (title, show) in PARTS.items() if (runs := _group(found, group))
    ]
    options.html.parent.mkdir(parents=True, exist_ok=True)
    options.html.write_text(page("EXAI: parts by themselves", about, sections), encoding="utf-8")
    print(f"\nfigures: {options.json}\npage:    {options.html}")


if __name__ == "__main__":
    main()
