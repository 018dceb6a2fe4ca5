"""Chromium for the tests of pages: the system's, Debian's installed by root, or one from npm for everybody else."""

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from support.nodes import CHROMIUM_FOLDER, installed

__all__ = ["Chromium", "NoBrowser", "found_or_installed"]

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
DEBIAN_PACKAGES = ("chromium", "fonts-dejavu-core")
"""Its fonts are only recommended by the browser, and a page without any has no widths to look at."""
LOCK = CHROMIUM_FOLDER / "package-lock.json"
UNPACKED = CHROMIUM_FOLDER / "node_modules" / ".unpacked"
INSTALL_TIMEOUT_S = 300
HOW_TO_GET_IT = (
    "The tests of the dashboard's pages need Chromium, and none is found. Install the package `chromium` of your "
    "system, or name its program in the variable EXAI_TEST_CHROMIUM."
)


class NoBrowser(Exception):
    """No Chromium is here, and none could be brought."""


@dataclass(frozen=True, slots=True)
class Chromium:
    """A program that can be started."""

    binary: Path
    environ: dict[str, str] = field(default_factory=dict)
    """What it needs beside the environment of the tests."""


def found_or_installed() -> Chromium:
    """The system's Chromium, or else one that is installed now; two that begin at once wait for each other.

    Raises:
        NoBrowser: there is none and none could be brought.
    """
    if (found := _of_the_system()) is not None:
        return found
    with LOCK.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (found := _of_the_system()) is not None:
            return found
        if os.geteuid() == 0 and shutil.which("apt-get"):
            return _of_debian()
    return _of_npm()


def _of_the_system() -> Chromium | None:
    if named := os.environ.get("EXAI_TEST_CHROMIUM"):
        if shutil.which(named) is None:
            raise NoBrowser(f"EXAI_TEST_CHROMIUM names {named}, which is no program that can be started.")
        return Chromium(Path(named))
    paths = (shutil.which(name) for name in NAMES)
    return next((Chromium(Path(path)) for path in paths if path), None)


def _of_debian() -> Chromium:
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=120", "-qq"]
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *DEBIAN_PACKAGES]):
        done = _ran([*apt, *command], environ)
        if done.returncode != 0:
            raise NoBrowser(f"{HOW_TO_GET_IT}\napt-get {command[0]} failed:\n{done.stdout}{done.stderr}")
    found = _of_the_system()
    if found is None:
        raise NoBrowser(f"{HOW_TO_GET_IT} Debian's package was installed and has brought no program.")
    return found


def _of_npm() -> Chromium:
    try:
        node = installed(CHROMIUM_FOLDER)
    except AssertionError as error:
        raise NoBrowser(f"{HOW_TO_GET_IT} npm did not bring one either: {error}") from None
    UNPACKED.mkdir(exist_ok=True)
    with LOCK.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = _ran(
            [str(node.binary), str(node.folder / "unpack.mjs")], {**node.environ(), "TMPDIR": str(UNPACKED)}
        )
    if done.returncode != 0:
        raise NoBrowser(f"{HOW_TO_GET_IT} The one from npm could not be unpacked: {done.stderr}")
    return Chromium(
        Path(done.stdout.strip()),
        {"LD_LIBRARY_PATH": str(UNPACKED / "al2023" / "lib"), "FONTCONFIG_PATH": str(UNPACKED / "fonts")},
    )


def _ran(command: list[str], environ: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )


if __name__ == "__main__":
    try:
        found_or_installed()
    except NoBrowser as error:
        sys.exit(f"exai: {error}")
