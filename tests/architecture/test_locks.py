"""The locks: everything that is installed, by exact version and hash, from whichever index the user has."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUNTIME = "requirements.lock"
DEVELOPMENT = "requirements-dev.lock"
RELEASE = "requirements-release.lock"

every_lock = pytest.mark.parametrize("lock", [RUNTIME, DEVELOPMENT, RELEASE])


def _entries(lock: str) -> dict[str, tuple[Requirement, list[str]]]:
    """By canonical name: the requirement and its hashes. Each entry is one logical line."""
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    entries: dict[str, tuple[Requirement, list[str]]] = {}
    for line in text.splitlines():
        requirement, *hashes = re.split(r"\s+--hash=", line.strip())
        parsed = Requirement(requirement)
        entries[canonicalize_name(parsed.name)] = (parsed, hashes)
    return entries


def _version(requirement: Requirement) -> str:
    (pin,) = requirement.specifier
    assert pin.operator == "==", str(requirement)
    return pin.version


@every_lock
def test_each_requirement_is_one_version_with_its_hashes(lock: str) -> None:
    for requirement, hashes in _entries(lock).values():
        assert _version(requirement)
        assert hashes, requirement.name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes), requirement.name


@every_lock
def test_a_lock_names_no_host_and_no_option_of_the_installer(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert re.findall(r"^\s*-(?!-hash=).*", text, flags=re.MULTILINE) == []
    assert [name for name, (requirement, _) in _entries(lock).items() if requirement.url] == []


def _declared() -> dict[str, list[str]]:
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    runtime = [*project["dependencies"], *PROJECT["build-system"]["requires"]]
    return {
        RUNTIME: runtime,
        DEVELOPMENT: [*runtime, *extras["dev"]],
        RELEASE: [*runtime, *extras["release"]],
    }


@every_lock
def test_every_declared_dependency_is_locked_within_its_range(lock: str) -> None:
    locked = _entries(lock)
    for text in _declared()[lock]:
        declared = Requirement(text)
        requirement, _ = locked[canonicalize_name(declared.name)]
        assert declared.specifier.contains(_version(requirement)), text


@pytest.mark.parametrize("lock", [DEVELOPMENT, RELEASE])
def test_development_and_release_run_what_users_run(lock: str) -> None:
    runtime, other = _entries(RUNTIME), _entries(lock)
    assert {
        name: (_version(requirement), name in other and _version(other[name][0]))
        for name, (requirement, _) in runtime.items()
        if name not in other or _version(requirement) != _version(other[name][0])
    } == {}


def test_nothing_beyond_the_locks_is_needed_to_install_the_project() -> None:
    """The scripts install it without build isolation, and without a download."""
    needed = {canonicalize_name(Requirement(text).name) for text in PROJECT["build-system"]["requires"]}
    assert needed <= _entries(RUNTIME).keys()
