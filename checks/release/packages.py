"""Wheel and sdist of a commit, with equal bytes from any clone, and what others' checks say of them."""

import hashlib
import shutil
import sys
from pathlib import Path

from checks.release.processes import ReleaseError, run

__all__ = ["build", "built_of", "checked", "commit_of", "digest"]

UMASKS = (0o022, 0o077)
"""Of the clones that are built from: file modes of a checkout must not get into a package."""

LEAST_RATING = 9
NOT_RATED = ("Url", "AuthorEmail")
"""What `pyroma` misses and EXAI has not: a home page and an address of mail."""


def commit_of(root: Path) -> str:
    """The commit that is checked out.

    Raises:
        ReleaseError: there is none, or files were changed since.
    """
    changed = run("git", "status", "--porcelain", "--untracked-files=no", cwd=root)
    if changed:
        raise ReleaseError(
            f"a release is of a commit, and these files were changed since:\n{changed.rstrip()}"
        )
    return run("git", "rev-parse", "HEAD", cwd=root).strip()


def digest(file: Path) -> str:
    """The SHA-256 of a file, in hex digits."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def build(root: Path, commit: str, work: Path) -> list[Path]:
    """Build wheel and sdist from two clones under different umasks.

    Returns: the packages, in the folder `packages` below `work`.

    Raises:
        ReleaseError: a build failed, or the two differ.
    """
    built = [_built(root, commit, work, umask) for umask in UMASKS]
    names = [sorted(file.name for file in files) for files in built]
    if names[0] != names[1]:
        raise ReleaseError(f"two builds made different files: {names}")
    for one, other in zip(*built, strict=True):
        if digest(one) != digest(other):
            raise ReleaseError(f"two builds of {one.name} differ; compare {one} with {other}")
    packages = work / "packages"
    packages.mkdir()
    return [Path(shutil.copy(file, packages)) for file in built[0]]


def _built(root: Path, commit: str, work: Path, umask: int) -> list[Path]:
    clone, out = work / f"clone-{umask:03o}", work / f"built-{umask:03o}"
    run("git", "clone", "--quiet", "--no-local", "--no-checkout", root, clone, umask=umask)
    run("git", "checkout", "--quiet", commit, cwd=clone, umask=umask)
    return built_of(clone, out)


def built_of(source: Path, out: Path) -> list[Path]:
    """Build wheel and sdist of a folder into another one, with what is installed here.

    Raises:
        ReleaseError: the build failed.
    """
    run(sys.executable, "-m", "hatchling", "build", "--directory", out, cwd=source)
    return sorted(out.iterdir())


def checked(root: Path, packages: list[Path], tools: Path) -> None:
    """Let `twine`, `check-wheel-contents` and `pyroma` look at them.

    Raises:
        ReleaseError: one of them found something.
    """
    run(tools / "twine", "check", "--strict", *packages)
    for package in packages:
        if package.suffix == ".whl":
            run(tools / "check-wheel-contents", package, cwd=root)
        else:
            run(tools / "pyroma", "--min", str(LEAST_RATING), "--skip-tests", ",".join(NOT_RATED), package)
