"""The files of the command line: hashed, then read again as they are sent, with a progress bar on a terminal."""

import asyncio
import hashlib
import os
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from exai.runtime.open_file import OpenFile
from exai.runtime.os_errors import reason_of

__all__ = ["Source", "Unreadable", "progress"]

BLOCK_BYTES = 2**20

OnBytes = Callable[[int], None]
"""Called with how many bytes more have been read or written."""


class Unreadable(Exception):
    """A path of the command line is no file that can be read; the message says why."""


class Source:
    """A file that is to be stored."""

    def __init__(self, path: Path) -> None:
        """Look at the file.

        Raises:
            Unreadable: it is none, or cannot be read.
        """
        self.path = path
        try:
            status = path.stat()
        except OSError as error:
            raise _unreadable(path, error) from None
        if stat.S_ISDIR(status.st_mode):
            raise Unreadable(f"{path} is a folder; name its files, or keep all of it by `exai files sync`.")
        if not stat.S_ISREG(status.st_mode):
            raise _no_file(path)
        self.size = status.st_size

    async def sha256(self) -> str:
        """Hash the content.

        Raises:
            Unreadable: it cannot be read.
        """
        digest = hashlib.sha256()
        async for block in self.blocks(lambda _: None):
            await asyncio.to_thread(digest.update, block)
        return digest.hexdigest()

    async def blocks(self, on_bytes: OnBytes) -> AsyncIterator[bytes]:
        """Yield the content.

        Raises:
            Unreadable: it cannot be read.
        """
        try:
            file, at = await asyncio.to_thread(self._opened), 0
            try:
                while block := await asyncio.to_thread(file.read, at, BLOCK_BYTES):
                    yield block
                    at += len(block)
                    on_bytes(len(block))
            finally:
                file.close()
        except OSError as error:
            raise _unreadable(self.path, error) from None

    def _opened(self) -> OpenFile:
        # It may have become a pipe since it was looked at, whose opening waits for a writer.
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return OpenFile(descriptor)
        os.close(descriptor)
        raise _no_file(self.path)


@contextmanager
def progress(label: str, size: int, *, quiet: bool) -> Iterator[OnBytes]:
    """Show on a terminal how far a transfer is, on stderr."""
    if quiet or not sys.stderr.isatty() or not size:
        yield lambda _: None
        return
    with typer.progressbar(length=size, label=label, file=sys.stderr, show_pos=False) as bar:
        yield bar.update


def _no_file(path: Path) -> Unreadable:
    return Unreadable(f"{path} is no regular file.")


def _unreadable(path: Path, error: OSError) -> Unreadable:
    return Unreadable(f"{path} cannot be read ({reason_of(error)}).")
