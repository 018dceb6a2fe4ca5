"""What is installed from npm is fixed to the byte, and comes from whatever registry a machine is set up for."""

import json
import re
from pathlib import Path

import pytest

from support.nodes import CHROMIUM_FOLDER, FOLDER, LOCK

FOLDERS = pytest.mark.parametrize("folder", [FOLDER, CHROMIUM_FOLDER], ids=lambda folder: folder.name)


@FOLDERS
def test_the_lock_names_no_host_and_fixes_every_package(folder: Path) -> None:
    text = (folder / LOCK.name).read_text(encoding="utf-8")
    assert "://" not in text, "npm adds funding addresses; take them out again"
    packages = {path: package for path, package in json.loads(text)["packages"].items() if path}
    assert packages
    for path, package in packages.items():
        assert package["integrity"].startswith("sha512-"), path
        assert "resolved" not in package, path


@FOLDERS
def test_versions_that_are_asked_for_are_exact(folder: Path) -> None:
    asked = json.loads((folder / "package.json").read_text(encoding="utf-8"))["dependencies"]
    for name, version in asked.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+(-[a-z]+\.\d+)?", version), f"{name}: {version}"
