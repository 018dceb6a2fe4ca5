"""The commands in `scripts/` and `.ci/run`: thin, executable, and the same for people and for CI."""

import os
import subprocess
from pathlib import Path

import pytest

from support.checkouts import Checkout

ROOT = Path(__file__).parents[2]
COMMANDS = [
    ROOT / "scripts" / name
    for name in ("bench", "check", "image", "release", "screenshots", "serve", "status", "test")
] + [ROOT / ".ci" / "run"]
LONGEST = 25
ALL_TESTS = [
    "PYTHONPATH=tests python -m support.chromium",
    "python -m slipcover --dont-wrap-pytest --json --out .coverage.json --fail-under 0 --threshold 2000"
    " -m pytest -n 4 --dist worksteal --junitxml=test-results.xml -o junit_suite_name=unknown",
    "python -m slipcover --merge .coverage.json --out .coverage.json",
]
"""Where there is no git."""

every_command = pytest.mark.parametrize("command", COMMANDS, ids=lambda path: path.name)


@every_command
def test_a_command_is_executable_valid_and_short(command: Path) -> None:
    assert os.access(command, os.X_OK)
    lines = command.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert lines[1].startswith("# ")
    assert "set -euo pipefail" in lines
    assert len(lines) <= LONGEST
    checked = subprocess.run(["bash", "-n", command], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_there_are_no_other_scripts() -> None:
    found = {path.name for path in (ROOT / "scripts").iterdir()}
    assert found == {"_environment", *(path.name for path in COMMANDS if path.parent.name == "scripts")}


def test_serve_passes_on_how_the_daemon_ended(checkout: Checkout) -> None:
    assert checkout.run("serve", "--demo").returncode == 0
    assert checkout.run("serve", FAKE_FAILS="exai serve").returncode == 1


def test_test_hands_its_arguments_to_pytest_at_the_root_of_the_checkout(checkout: Checkout) -> None:
    assert checkout.run("test", "-k", "two words").returncode == 0
    assert checkout.commands[-1] == "python -m pytest -k two words"


def test_test_runs_all_of_them_side_by_side(checkout: Checkout) -> None:
    assert checkout.run("test").returncode == 0
    assert checkout.commands[-3:] == ALL_TESTS


def test_test_ends_as_pytest_does(checkout: Checkout) -> None:
    assert checkout.run("test", FAKE_TESTS_FAIL="yes").returncode == 1
    assert checkout.commands[-2:] == ALL_TESTS[:2]


def test_check_runs_everything_although_one_fails_and_names_what_failed(checkout: Checkout) -> None:
    done = checkout.run("check", FAKE_FAILS="ruff format")
    assert done.returncode == 1
    here = f"(in {checkout.folder.name})"
    assert checkout.commands[-7:] == [
        f"ruff format --check . {here}",
        f"ruff check . {here}",
        f"mypy --num-workers 2 --local-partial-types {here}",
        f"lint-imports --no-logo {here}",
        f"bandit --quiet --configfile pyproject.toml --recursive src {here}",
        "python -m checks.advisories",
        "python -m checks.unused",
    ]
    assert done.stderr.splitlines()[-1] == "== failed: ruff format --check ."


def test_check_says_that_all_is_well(checkout: Checkout) -> None:
    done = checkout.run("check")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "== all checks passed"


@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["no-such-benchmark"], 2)])
def test_bench_lists_what_there_is(checkout: Checkout, arguments: list[str], code: int) -> None:
    assert checkout.run("bench", *arguments).returncode == code
    assert checkout.commands[-1] == "python -m benchmarks"


def test_bench_runs_the_one_that_is_named(checkout: Checkout) -> None:
    assert checkout.run("bench", "calls", "--seconds", "1").returncode == 0
    assert checkout.commands[-1] == "PYTHONPATH=tests python -m benchmarks.calls --seconds 1"


def test_status_runs_the_tests_of_its_table_where_it_is_asked_to(checkout: Checkout) -> None:
    assert checkout.run("status", "--run").returncode == 0
    assert checkout.commands[-3:] == [
        "python -m checks.status --tests",
        "python -m pytest -n 2 --junitxml=test-results.xml -o junit_suite_name=unknown",
        "python -m checks.status --run",
    ]
    assert checkout.run("status", "--results", "x.xml").returncode == 0
    assert checkout.commands[-2:] == [
        "python -m checks.status --run",
        "python -m checks.status --results x.xml",
    ]


def test_ci_checks_and_then_runs_the_readme_s_test_command(checkout: Checkout) -> None:
    done = checkout.run("../.ci/run", CI="true")
    assert done.returncode == 0, done.stderr
    assert [line.split(" (")[0] for line in checkout.commands[-4:]] == [
        "python -m checks.unused",
        *ALL_TESTS,
    ]


def test_ci_stops_at_a_failed_check(checkout: Checkout) -> None:
    assert checkout.run("../.ci/run", FAKE_FAILS="mypy --num-workers").returncode == 1
    assert not any("-m pytest" in line for line in checkout.commands)
