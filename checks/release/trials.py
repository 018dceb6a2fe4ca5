"""The wheel, installed as users install it, and asked: on every Python that is found, and with each extra alone."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import ParamSpec

from checks.release.processes import ReleaseError, run

__all__ = ["EXTRAS", "VERSIONS", "Trial", "environment_of", "interpreters", "trials"]

P = ParamSpec("P")

VERSIONS = ("3.11", "3.12", "3.13")
EXTRAS = ("brotli", "emulator", "keyring", "languages", "s3", "secrets")
ANY_PORTS = ("--port", "0", "--set", "server.operations_port=0", "--set", "server.errors_port=0")
QUESTION = "What is a heron?"
ANSWER = "[emulated "
PATIENCE = 60.0
"""Seconds that a daemon may take to end."""


@dataclass(frozen=True)
class Trial:
    """One way of installing, and how it went.

    Attributes:
        way: what was installed, and how.
        outcome: `passed`, or why it did not, or why it was not tried.
    """

    way: str
    outcome: str

    @property
    def failed(self) -> bool:
        """Whether it was tried in vain."""
        return self.outcome.startswith("failed")


def interpreters() -> dict[str, Path]:
    """Pythons of this machine by version: of `PATH`, of the one that runs this, and of pyenv."""
    found = {}
    for version in VERSIONS:
        pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
        named = [Path(place) for place in [shutil.which(f"python{version}")] if place]
        for candidate in (Path(sys.executable), *named, *pyenv):
            if _version(candidate) == version:
                found[version] = candidate
                break
    return found


def _version(python: Path) -> str | None:
    try:
        said = run(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2], sys.implementation.name)")
    except ReleaseError:
        return None
    version, _, implementation = said.strip().partition(" ")
    return version if implementation == "cpython" else None


def trials(wheel: Path, tools: Path, work: Path) -> Iterator[Trial]:
    """Try every way in turn, each in an environment and a home of its own."""
    found = interpreters()
    for version in VERSIONS:
        way = f"Python {version}, pip, all extras: `exai serve --demo` answers"
        if version in found:
            yield _tried(way, _by_pip, wheel, found[version], work)
        else:
            yield Trial(way, "not tried: there is no such Python here")
    python = Path(sys.executable)
    for extra in EXTRAS:
        yield _tried(f"extra {extra} alone", _extra_alone, wheel, extra, python, tools, work)
    yield _tried("uvx: `exai --version`", _by_uvx, wheel, python, tools)
    yield _tried("pipx: `exai --version`", _by_pipx, wheel, python, tools, work)


def _tried(way: str, trial: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> Trial:
    try:
        trial(*args, **kwargs)
    except ReleaseError as error:
        return Trial(way, f"failed: {error}")
    return Trial(way, "passed")


def environment_of(python: Path, work: Path) -> Path:
    """The environment that `trials` makes of a Python with `pip`: all extras are installed there."""
    return work / f"pip-{_version(python)}"


def _by_pip(wheel: Path, python: Path, work: Path) -> None:
    place = environment_of(python, work)
    run(python, "-m", "venv", place)
    requirement = f"exai[{','.join(EXTRAS)}] @ {wheel.as_uri()}"
    run(
        place / "bin" / "python",
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        requirement,
    )
    _demonstration_answers(place / "bin" / "exai")


def _extra_alone(wheel: Path, extra: str, python: Path, tools: Path, work: Path) -> None:
    place = work / f"extra-{extra}"
    run(tools / "uv", "venv", "--quiet", "--python", python, place)
    requirement = f"exai[{extra}] @ {wheel.as_uri()}"
    run(tools / "uv", "pip", "install", "--quiet", "--python", place / "bin" / "python", requirement)
    _says_version(place / "bin" / "exai")


def _by_uvx(wheel: Path, python: Path, tools: Path) -> None:
    _says_version(tools / "uvx", "--python", python, "--from", wheel, "exai")


def _by_pipx(wheel: Path, python: Path, tools: Path, work: Path) -> None:
    home = {"PIPX_HOME": str(work / "pipx"), "PIPX_BIN_DIR": str(work / "pipx-bin")}
    run(tools / "pipx", "install", "--python", python, wheel, env=home)
    _says_version(work / "pipx-bin" / "exai")


def _says_version(*command: str | Path) -> None:
    said = run(*command, "--version")
    if not said.startswith("exai "):
        raise ReleaseError(f"{command[0]} --version said {said!r}")


def _demonstration_answers(exai: Path) -> None:
    with tempfile.TemporaryDirectory() as home, _daemon(exai, {"HOME": home}):
        said = run(exai, "chat", "--demo", QUESTION, env={"HOME": home})
        if not said.startswith(ANSWER) or QUESTION not in said:
            raise ReleaseError(f"the demonstration was asked, and answered {said!r}")


@contextmanager
def _daemon(exai: Path, home: Mapping[str, str]) -> Iterator[None]:
    command = [str(exai), "serve", "--demo", "--ready-json", *ANY_PORTS]
    with Popen(command, env={**os.environ, **home}, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL) as daemon:
        try:
            if daemon.stdout is None or not daemon.stdout.readline():
                raise ReleaseError(f"{exai} serve --demo ended before it was ready")
            yield
        finally:
            daemon.terminate()
            try:
                daemon.wait(PATIENCE)
            except TimeoutExpired:
                daemon.kill()
