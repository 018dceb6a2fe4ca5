"""The status page: every promise names what shows it, and no more is said than a run of the tests has shown."""

from pathlib import Path

import pytest
from checks.status import (
    ROOT,
    TITLES,
    Figure,
    Promise,
    Run,
    collected,
    judge,
    load,
    page,
    read_figures,
    read_run,
)

RESULTS = """<?xml version="1.0"?><testsuites name="pytest tests">
<testsuite name="abc1234" tests="6" timestamp="2026-11-30T10:00:00.5+01:00" hostname="secret-host">
<testcase classname="tests.web.test_a" name="test_good[1]" time="0.1" />
<testcase classname="tests.web.test_a" name="test_good[2]" time="0.1" />
<testcase classname="tests.web.test_a" name="test_mixed[1]"><skipped message="no" /></testcase>
<testcase classname="tests.web.test_a" name="test_mixed[2]" />
<testcase classname="tests.web.test_a" name="test_bad"><failure message="no">x</failure></testcase>
<testcase classname="tests.web.test_a" name="test_torn_down" />
<testcase classname="tests.web.test_a" name="test_torn_down"><error message="no">x</error></testcase>
</testsuite></testsuites>"""
GOOD, MIXED, BAD, TORN = (
    f"tests/web/test_a.py::test_{name}" for name in ("good", "mixed", "bad", "torn_down")
)

PROMISES = {
    f"{part} {number}": promise
    for part, of_part in load(ROOT / "checks" / "status.toml").items()
    for number, promise in of_part.items()
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "results.xml").write_text(RESULTS)
    return read_run(tmp_path / "results.xml")


def test_every_promise_names_what_shows_it_or_why_nothing_does() -> None:
    assert len(PROMISES) == 82
    for name, promise in PROMISES.items():
        shown = bool(promise.tests or promise.figures)
        assert [shown, bool(promise.not_tested), bool(promise.not_built)].count(True) == 1, name
        assert len(set(promise.tests)) == len(promise.tests), name
        assert "|" not in promise.promise + promise.lacks + promise.not_tested + promise.not_built, name


def test_every_test_that_is_named_exists() -> None:
    named = {test for promise in PROMISES.values() for test in promise.tests}
    assert {test for test in named if not collected(ROOT, test)} == set()
    assert not collected(ROOT, "tests/architecture/test_status_page.py::test_that_is_not_there")
    assert not collected(ROOT, "tests/architecture/test_not_there.py::test_a")


def test_every_figure_that_is_named_is_one_of_a_benchmark() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks").glob("*.py"))
    for figure in {figure for promise in PROMISES.values() for figure in promise.figures}:
        benchmark, *_, key = figure.split(".")
        assert (ROOT / "benchmarks" / f"{benchmark}.py").is_file(), figure
        assert key in text or key == "median_ms", figure


def test_a_row_is_as_well_shown_as_its_tests_and_figures(run: Run) -> None:
    figures = {"soak.slope": Figure(3.0, "2026-11-30")}
    for expected, promise in (
        ("shown", Promise("p", tests=[GOOD])),
        ("shown", Promise("p", tests=[GOOD], figures={"soak.slope": 3.0})),
        ("shown", Promise("p", figures={"soak.slope": 4.0})),
        ("in part", Promise("p", tests=[GOOD], lacks="an hour.")),
        ("in part", Promise("p", tests=[GOOD], figures={"idle.kib": 1.0})),
        ("not shown", Promise("p", tests=[GOOD, MIXED])),
        ("not shown", Promise("p", tests=[GOOD, "tests/web/test_a.py::test_that_did_not_run"])),
        ("not shown", Promise("p", figures={"idle.kib": 1.0})),
        ("not shown", Promise("p", not_tested="Nobody did.")),
        ("failed", Promise("p", tests=[GOOD, BAD])),
        ("failed", Promise("p", tests=[TORN, MIXED])),
        ("failed", Promise("p", tests=[GOOD], figures={"soak.slope": 2.0})),
        ("not built", Promise("p", not_built="It is missing.")),
    ):
        assert judge(promise, run, figures) == expected, promise


def test_the_page_says_of_which_run_it_is_and_what_did_not_pass(run: Run) -> None:
    promise = Promise("It holds.", tests=[GOOD, MIXED], figures={"soak.slope": 4.0})
    text = page({"users": {"1": promise}}, run, {"soak.slope": Figure(3.0, "2026-11-29")})
    assert "began on 2026-11-30 at 09:00 UTC, with commit abc1234" in text
    assert (
        "| 1 | It holds. | not shown | `web/test_a.py::test_good`<br>`web/test_a.py::test_mixed`: skipped"
        "<br>`soak.slope`: 3 on 2026-11-29, at most 4 |"
    ) in text
    assert "secret-host" not in text


def test_figures_are_read_from_the_results_of_benchmarks(tmp_path: Path) -> None:
    (tmp_path / "soak.json").write_text('{"at": "2026-11-30T10:00:00", "slope": 0.5, "aims": {"slope": 0}}')
    (tmp_path / "components.json").write_text(
        '{"datetime": "2026-11-29T10:00:00", "benchmarks": [{"group": "cleanup", "stats": {"median": 0.04},'
        ' "extra_info": {"arm": "sweep", "sessions": 10, "longest_block_ms": 1.5}}]}'
    )
    assert read_figures(tmp_path) == {
        "soak.slope": Figure(0.5, "2026-11-30"),
        "components.cleanup.sweep.median_ms": Figure(40.0, "2026-11-29"),
        "components.cleanup.sweep.sessions": Figure(10, "2026-11-29"),
        "components.cleanup.sweep.longest_block_ms": Figure(1.5, "2026-11-29"),
    }


def test_the_page_that_is_there_was_made_of_this_table() -> None:
    text = (ROOT / "docs" / "status.md").read_text(encoding="utf-8")
    parts = load(ROOT / "checks" / "status.toml")
    assert parts.keys() == TITLES.keys()
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| #")]
    promises = [(number, promise) for of_part in parts.values() for number, promise in of_part.items()]
    for row, (number, promise) in zip(rows, promises, strict=True):
        assert row.startswith(f"| {number} | {promise.promise} |")
        named = [test.removeprefix("tests/") for test in promise.tests]
        assert all(f"`{name}`" in row for name in [*named, *promise.figures]), "run scripts/status"
        assert row.endswith(" |")
        assert all(words in row for words in (promise.lacks, promise.not_tested, promise.not_built)), (
            "run scripts/status"
        )
