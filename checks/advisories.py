"""No locked package is older than its advisories allow, and nothing unknown runs when Python starts.

Offline: it knows what `advisories.toml` knows.
"""

import json
import re
import sys
import sysconfig
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

__all__ = ["faults", "main"]

ROOT = Path(__file__).parents[1]
PYTHON_LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-release.lock")
NODE_LOCK = "tests/node/package-lock.json"


def faults(root: Path, known: Mapping[str, Any], startup: Iterable[Path]) -> Iterator[str]:
    """What must not be: a sentence each."""
    for lock in PYTHON_LOCKS:
        for name, version in _python_packages(root / lock):
            yield from _judged(lock, name, version, known["python"])
    for name, version in _node_packages(root / NODE_LOCK):
        yield from _judged(NODE_LOCK, name, version, known["node"])
    for file in startup:
        if not any(fnmatch(file.name, pattern) for pattern in known["startup"]["pth"]):
            yield f"{file.name} runs at every start of Python, and checks/advisories.toml does not name it"


def _judged(lock: str, name: str, version: str, known: Mapping[str, Any]) -> Iterator[str]:
    advisory = known.get(name)
    if advisory is None:
        return
    ids = ", ".join(advisory["ids"])
    if not advisory["least"]:
        yield f"{lock}: {name} {version} may not be used: {advisory['why']} ({ids})"
    elif Version(version) < Version(advisory["least"]):
        yield f"{lock}: {name} {version} is older than {advisory['least']}: {advisory['why']} ({ids})"


def _python_packages(lock: Path) -> Iterator[tuple[str, str]]:
    for line in lock.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        requirement = Requirement(re.split(r"\s+--hash=", line.strip())[0])
        (pin,) = requirement.specifier
        yield canonicalize_name(requirement.name), pin.version


def _node_packages(lock: Path) -> Iterator[tuple[str, str]]:
    packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    for place, package in packages.items():
        if place:
            yield place.rpartition("node_modules/")[2], package["version"]


def main() -> int:
    """Print what is wrong; the exit code."""
    known = tomllib.loads((ROOT / "checks" / "advisories.toml").read_text(encoding="utf-8"))
    startup = Path(sysconfig.get_path("purelib")).glob("*.pth")
    found = list(faults(ROOT, known, startup))
    for fault in found:
        sys.stderr.write(f"{fault}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
