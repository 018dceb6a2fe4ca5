"""Other programs that a release runs: each quiet, and quoted where it fails."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

__all__ = ["ReleaseError", "run"]

LONGEST = 900.0
"""Seconds that a program may take."""

LAST_LINES = 20


class ReleaseError(Exception):
    """A step of the release failed: its sentence says which, and what the program printed."""


def run(
    *command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, umask: int = -1
) -> str:
    """Run a program to its end.

    Args:
        command: the program and its arguments.
        cwd: the folder to run it in.
        env: variables beside those of this process.
        umask: of what it writes; this process' own where none is said.

    Returns: what it wrote on stdout.

    Raises:
        ReleaseError: it could not be started, failed, or took more than 15 minutes.
    """
    words = [str(word) for word in command]
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", **(env or {})}
    try:
        ended = subprocess.run(
            words,
            cwd=cwd,
            env=environment,
            umask=umask,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ReleaseError(f"{words[0]} did not run to its end: {error}") from error
    if ended.returncode:
        said = (ended.stdout + ended.stderr).strip().splitlines()[-LAST_LINES:]
        raise ReleaseError("\n  ".join([f"{' '.join(words)} ended with {ended.returncode}:", *said]))
    return ended.stdout
