"""Where a review is written: a file, whole or not at all, or stdout, whose reader may leave."""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from exai.errors import StartFault
from exai.runtime.os_errors import reason_of

__all__ = ["OutputFile", "opened", "print_out"]


class OutputFile:
    """A file that is at its place once it is written."""

    def __init__(self, place: Path, part: Path) -> None:
        self._place = place
        self._part = part

    @property
    def paths(self) -> tuple[Path, Path]:
        """Its place, and the file beside it that becomes it."""
        return self._place, self._part

    def write(self, content: bytes) -> None:
        """Write the file.

        Raises:
            StartFault: it cannot be written.
        """
        try:
            self._part.write_bytes(content)
            self._part.replace(self._place)
        except OSError as error:
            raise _unwritable(self._place, error) from None


@contextmanager
def opened(place: Path) -> Iterator[OutputFile]:
    """Find out whether a file can be written before something is spent on what is to be in it.

    Raises:
        StartFault: it cannot be.
    """
    part = place.with_name(f".{place.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        if place.is_dir():
            raise IsADirectoryError(21, "Is a directory")
        part.touch()
    except OSError as error:
        raise _unwritable(place, error) from None
    try:
        yield OutputFile(place, part)
    finally:
        part.unlink(missing_ok=True)


def print_out(text: str) -> None:
    """Write to stdout; where its reader has left, nothing more is written, and the command ends as it would have.

    Raises:
        StartFault: it cannot be written.
    """
    try:
        typer.echo(text, nl=False)
    except OSError as error:
        # What is left of it in the buffer would be written at the end of the process, and fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise StartFault(f"The review cannot be written ({reason_of(error)}).") from None


def _unwritable(place: Path, error: OSError) -> StartFault:
    return StartFault(f"{place} cannot be written ({reason_of(error)}); name another by --output FILE.")
