"""The floor under the locks: what it lets through, and that it sees what it must not."""

import json
import tomllib
from pathlib import Path

import pytest
from checks.advisories import NODE_LOCK, PYTHON_LOCKS, ROOT, faults, main

KNOWN = tomllib.loads((ROOT / "checks" / "advisories.toml").read_text(encoding="utf-8"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout whose locks have nothing but what a test plants."""
    for lock in PYTHON_LOCKS:
        (tmp_path / lock).write_text("idna==3.20 \\\n    --hash=sha256:00\n")
    (tmp_path / NODE_LOCK).parent.mkdir(parents=True)
    (tmp_path / NODE_LOCK).write_text(json.dumps({"packages": {"": {}}}))
    return tmp_path


def test_what_is_locked_and_installed_here_passes() -> None:
    assert main() == 0


def test_an_old_version_is_found_in_each_lock_with_its_advisories(root: Path) -> None:
    (root / PYTHON_LOCKS[1]).write_text(
        "idna==3.20\nPyJWT==2.12.0 ; python_version < '4' \\\n    --hash=sha256:00\n"
    )
    (found,) = faults(root, KNOWN, [])
    assert found.startswith("requirements-dev.lock: pyjwt 2.12.0 is older than 2.15.1")
    assert "CVE-2026-48523" in found


def test_the_least_version_and_a_later_one_pass(root: Path) -> None:
    least = KNOWN["python"]["starlette"]["least"]
    (root / PYTHON_LOCKS[0]).write_text(f"starlette=={least}\nmcp==2.10.0\n")
    assert list(faults(root, KNOWN, [])) == []


def test_a_package_that_may_not_be_used_is_found_in_any_version(root: Path) -> None:
    (root / PYTHON_LOCKS[0]).write_text("litellm==99.0\n")
    (found,) = faults(root, KNOWN, [])
    assert "litellm 99.0 may not be used" in found


def test_packages_below_others_are_found_too(root: Path) -> None:
    below = "node_modules/jsdom/node_modules/undici"
    (root / NODE_LOCK).write_text(json.dumps({"packages": {"": {}, below: {"version": "6.0.0"}}}))
    (found,) = faults(root, KNOWN, [])
    assert "undici 6.0.0 is older than" in found


def test_an_unknown_file_that_runs_at_the_start_of_python_is_found(root: Path) -> None:
    known = Path("lib/distutils-precedence.pth")
    (found,) = faults(root, KNOWN, [known, Path("lib/litellm_init.pth")])
    assert found.startswith("litellm_init.pth runs at every start")


def test_every_advisory_says_what_it_is_about() -> None:
    for packages in (KNOWN["python"], KNOWN["node"]):
        for name, advisory in packages.items():
            assert advisory.keys() == {"least", "ids", "why"}, name
            assert advisory["ids"], name
