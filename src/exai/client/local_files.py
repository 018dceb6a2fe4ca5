"""Files of this machine below given folders, hashed and read for a daemon on another one.

A hash is remembered with the file's path, inode, size and times, as a hint: the daemon compares the content with it.
"""

import asyncio
import hashlib
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from exai.errors import FileRefused
from exai.files.checks import secret_kind
from exai.files.paths.opening import open_inside, shown
from exai.runtime.os_errors import reason_of

__all__ = ["LocalFile", "LocalFiles"]

BLOCK_BYTES = 2**20
SEARCHED_BYTES = 2 * 2**20
"""Of each file for contents that are secret."""
MOST_HINTS = 10_000

Stamp = tuple[int, int, int, int]
"""Inode, size, and when content and inode were changed last."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file as it was when it was hashed."""

    path: str
    name: str
    size: int
    sha256: str


class LocalFiles:
    """Reads below its folders alone."""

    def __init__(self, roots: Sequence[Path]) -> None:
        # Resolved once: a folder that is later replaced by a link leads nowhere.
        self.roots = tuple(Path(os.path.realpath(root)) for root in roots)
        self._hints: OrderedDict[str, tuple[Stamp, LocalFile]] = OrderedDict()

    def folder(self, path: str) -> Path | None:
        """Return the resolved path of a folder; `None` where the path is no folder.

        Raises:
            FileRefused: it is outside the folders that may be read.
        """
        real = self._inside(path)
        return real if real.is_dir() else None

    def look(self, path: str) -> LocalFile:
        """Hash a file, unless its hash is known; it blocks.

        Raises:
            FileRefused: it may not or cannot be read, or seems to hold a secret.
        """
        self._inside(path)
        with open_inside(path, self.roots) as (descriptor, real):
            status = os.fstat(descriptor)
            stamp = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            known_stamp, known = self._hints.pop(path, (None, None))
            if known is None or known_stamp != stamp:
                known = _hashed(descriptor, path, real)
        self._hints[path] = stamp, known
        if len(self._hints) > MOST_HINTS:
            self._hints.popitem(last=False)
        return known

    def forget(self, path: str) -> None:
        """Hash a file again when it is looked at next."""
        self._hints.pop(path, None)

    async def blocks(self, file: LocalFile, start: int) -> AsyncIterator[bytes]:
        """Yield the content from `start` on; it is opened for each block, and no descriptor is left behind.

        Raises:
            FileRefused: it cannot be read.
        """
        while start < file.size and (block := await asyncio.to_thread(self._block, file, start)):
            start += len(block)
            yield block

    def _block(self, file: LocalFile, start: int) -> bytes:
        with open_inside(file.path, self.roots) as (descriptor, _):
            return _read(descriptor, start, min(BLOCK_BYTES, file.size - start), file.path)

    def _inside(self, path: str) -> Path:
        try:
            real = Path(os.path.realpath(path))
        except (OSError, ValueError):
            real = None
        if real is None or not any(real.is_relative_to(root) for root in self.roots):
            raise FileRefused(
                f"`{shown(path)}` is not inside a folder that `exai connect` may read: the one it is started in, and "
                "those that its option `--root FOLDER` adds."
            )
        return real


def _hashed(descriptor: int, path: str, real: Path) -> LocalFile:
    digest, size, head = hashlib.sha256(), 0, b""
    while block := _read(descriptor, size, BLOCK_BYTES, path):
        digest.update(block)
        size += len(block)
        if len(head) < SEARCHED_BYTES:
            head += block
    text = head.decode(errors="replace")
    kind = secret_kind(Path(path), text) or secret_kind(real, text)
    if kind is not None:
        raise FileRefused(
            f"`{shown(path)}` looks as if it held {kind}, so it stays on this machine; put what the model needs to "
            "know into the prompt."
        )
    return LocalFile(path, real.name, size, digest.hexdigest())


def _read(descriptor: int, at: int, size: int, path: str) -> bytes:
    try:
        return os.pread(descriptor, size, at)
    except OSError as error:
        raise FileRefused(f"`{shown(path)}` cannot be read ({reason_of(error)}).") from error
