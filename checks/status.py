"""The status page: what EXAI promises, and which of it a run of the tests has shown.

`status.toml` has the promises, each with its tests by id and its figures by name. `scripts/status` reads the outcomes
of a run from pytest's JUnit XML and the figures from what benchmarks have written, and writes `docs/status.md`.
"""

import argparse
import ast
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec

__all__ = [
    "Figure",
    "Promise",
    "Run",
    "State",
    "collected",
    "judge",
    "load",
    "main",
    "page",
    "read_figures",
    "read_run",
]

ROOT = Path(__file__).parents[1]
RESULTS = "test-results.xml"
TITLES = {"users": "What a user meets", "limits": "How far it holds"}
WORST_LAST = ("passed", "skipped", "failed")
OF_FAILURES = {"failure": "failed", "error": "failed", "skipped": "skipped"}
LEGEND = """\
- **shown**: every test that is named passed, and every figure is within its bound.
- **in part**: as above, and the row says what no test or figure shows.
- **not shown**: a test that is named did not run or was skipped, no figure has been measured, or there is no test.
- **failed**: a test failed, or a figure is beyond its bound.
- **not built**: EXAI cannot do it yet.
"""


class Promise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What EXAI is to do, and what shows that it does.

    Attributes:
        promise: what somebody can rely on, in a sentence.
        tests: ids as pytest writes them, without parameters; every one of them has to pass.
        figures: `benchmark.key` of a result, and the most that it may be.
        lacks: which part of the promise neither tests nor figures show.
        not_tested: why there is no test, where EXAI does it.
        not_built: what is missing, where EXAI does not do it.
    """

    promise: str
    tests: list[str] = []
    figures: dict[str, float] = {}
    lacks: str = ""
    not_tested: str = ""
    not_built: str = ""


class State(StrEnum):
    """What is known of a promise after a run."""

    SHOWN = "shown"
    IN_PART = "in part"
    NOT_SHOWN = "not shown"
    FAILED = "failed"
    NOT_BUILT = "not built"


@dataclass(frozen=True)
class Run:
    """A run of tests: its commit and beginning, and the outcome of each test by its id without parameters."""

    commit: str
    at: datetime
    outcomes: Mapping[str, str]


@dataclass(frozen=True)
class Figure:
    """What a benchmark has measured, and on which day."""

    value: float
    day: str


def load(table: Path) -> dict[str, dict[str, Promise]]:
    """Read the promises: those of each part of the page by their numbers."""
    text = tomllib.loads(table.read_text(encoding="utf-8"))
    return msgspec.convert(text, dict[str, dict[str, Promise]])


def read_run(results: Path) -> Run:
    """Read what pytest wrote by `--junitxml`; of a test with parameters the worst outcome counts."""
    suite = ET.parse(results).getroot().find("testsuite")  # noqa: S314  # pytest wrote it
    if suite is None:
        raise ValueError(f"{results} holds no results of pytest")
    outcomes: dict[str, str] = {}
    for case in suite.iter("testcase"):
        place = case.get("classname", "").replace(".", "/")
        name = f"{place}.py::{case.get('name', '').partition('[')[0]}"
        found = [OF_FAILURES[part.tag] for part in case if part.tag in OF_FAILURES]
        outcomes[name] = max([outcomes.get(name, "passed"), *found], key=WORST_LAST.index)
    return Run(suite.get("name", ""), datetime.fromisoformat(suite.get("timestamp", "")), outcomes)


def read_figures(folder: Path) -> dict[str, Figure]:
    """Read the numbers of every result that lies in the folder, as `benchmark.key`."""
    figures: dict[str, Figure] = {}
    for file in sorted(folder.glob("*.json")):
        result = json.loads(file.read_text(encoding="utf-8"))
        day = str(result.get("at", result.get("datetime", "")))[:10]
        figures |= _numbers(file.stem, result, day)
        for measured in result.get("benchmarks", []):  # as pytest-benchmark writes them
            name = f"{file.stem}.{measured['group']}.{measured['extra_info']['arm']}"
            median = {"median_ms": measured["stats"]["median"] * 1_000}
            figures |= _numbers(name, {**median, **measured["extra_info"]}, day)
    return figures


def _numbers(name: str, values: Mapping[str, object], day: str) -> dict[str, Figure]:
    return {
        f"{name}.{key}": Figure(value, day) for key, value in values.items() if isinstance(value, int | float)
    }


def collected(root: Path, name: str) -> bool:
    """Whether there is a test with this id, by the text of its file."""
    place, _, function = name.partition("::")
    file = root / place
    if not file.is_file():
        return False
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function for node in body
    )


def judge(promise: Promise, run: Run, figures: Mapping[str, Figure]) -> State:
    """Say what the run and the figures show of a promise."""
    if promise.not_built:
        return State.NOT_BUILT
    outcomes = {run.outcomes.get(name) for name in promise.tests}
    known = {name: figures[name] for name in promise.figures if name in figures}
    if "failed" in outcomes or any(figure.value > promise.figures[name] for name, figure in known.items()):
        return State.FAILED
    if outcomes - {"passed"} or not (outcomes or known):
        return State.NOT_SHOWN
    return State.IN_PART if promise.lacks or known.keys() != promise.figures.keys() else State.SHOWN


def page(promises: Mapping[str, Mapping[str, Promise]], run: Run, figures: Mapping[str, Figure]) -> str:
    """Write the page."""
    rows = [
        (part, number, promise, judge(promise, run, figures))
        for part, of_part in promises.items()
        for number, promise in of_part.items()
    ]
    counts = ", ".join(f"{sum(row[3] is state for row in rows)} {state}" for state in State)
    began = f"{run.at.astimezone(UTC):%Y-%m-%d at %H:%M} UTC"
    commit = run.commit.replace("-dirty", " and changes beside it")
    lines = [
        "# Status",
        "",
        "Made by `scripts/status` from the results of a test run and of benchmarks, and not written by hand: see",
        "[CONTRIBUTING](../CONTRIBUTING.md#the-status-page). GLM and Kimi are the emulated ones throughout.",
        "",
        f"The run began on {began}, with commit {commit}. Of {len(rows)} promises: {counts}.",
        "",
        LEGEND.rstrip(),
    ]
    for part, title in TITLES.items():
        lines += ["", f"## {title}", "", "| # | promise | | by |", "|---:|---|---|---|"]
        lines += [
            f"| {number} | {promise.promise} | {state} | {'<br>'.join(_evidence(promise, run, figures))} |"
            for of_part, number, promise, state in rows
            if of_part == part
        ]
    return "\n".join(lines) + "\n"


def _evidence(promise: Promise, run: Run, figures: Mapping[str, Figure]) -> Iterator[str]:
    for name in promise.tests:
        outcome = run.outcomes.get(name, "did not run")
        yield f"`{name.removeprefix('tests/')}`" + ("" if outcome == "passed" else f": {outcome}")
    for name, most in promise.figures.items():
        figure = figures.get(name)
        measured = f"{figure.value:g} on {figure.day}" if figure else "not measured"
        yield f"`{name}`: {measured}, at most {most:g}"
    if promise.lacks:
        yield f"Not shown: {promise.lacks}"
    if promise.not_tested or promise.not_built:
        yield promise.not_tested or promise.not_built


def main(arguments: Sequence[str] | None = None) -> int:
    """Write `docs/status.md`, or print the ids of the tests; the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/status", description="Writes docs/status.md.")
    parser.add_argument("--run", action="store_true", help="run the tests of the table first")
    parser.add_argument("--tests", action="store_true", help="only print the ids of the tests of the table")
    parser.add_argument(
        "--results", type=Path, default=ROOT / RESULTS, help=f"JUnit XML of a run ({RESULTS})"
    )
    options = parser.parse_args(arguments)
    promises = load(ROOT / "checks" / "status.toml")
    if options.tests:
        ids = {name for part in promises.values() for promise in part.values() for name in promise.tests}
        sys.stdout.write("\n".join(sorted(ids)) + "\n")
        return 0
    try:
        run = read_run(options.results)
    except (OSError, ET.ParseError, ValueError) as error:
        sys.stderr.write(f"{error}\nRun scripts/test, or scripts/status --run, which write {RESULTS}.\n")
        return 1
    figures = read_figures(ROOT / "benchmarks" / "results")
    (ROOT / "docs" / "status.md").write_text(page(promises, run, figures), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
