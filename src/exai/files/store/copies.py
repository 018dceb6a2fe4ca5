"""Copies of a bucket's contents in a folder of this machine, up to so many bytes: the longest unused go first.

A copy may be lost or damaged at any time, as the bucket has the content. So it is not flushed to the disk, and it is
compared with its digest before it is read.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import structlog

from exai.files.compared import ComparedFiles
from exai.runtime.open_file import OpenFile

__all__ = ["CopyFolder"]

_log = structlog.get_logger(__name__)

TRUSTED_S = 30.0
"""How long a copy that was compared, and whose file did not change since, is not compared again."""
KEPT_SHARE = 0.9
"""The share of the space that is still taken after some were removed, so that not each further copy removes one."""


class CopyFolder:
    """The folder. Its methods block; they run in threads, several at a time."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._folder = folder
        self._lock = threading.Lock()
        self._bytes: int | None = None
        """What the copies have together, or more where another process removed some; `None`: not counted yet."""
        self._compared = ComparedFiles(TRUSTED_S)

    def open(self, digest: str) -> OpenFile | None:
        """Open a copy that is what its digest says; another one is removed."""
        place = self._place(digest)
        try:
            file = OpenFile(os.open(place, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return None
        with suppress(OSError):
            if self._compared.is_right(file, digest):
                os.utime(place, ns=(time.time_ns(), file.identity[-1]))
                return file
        file.close()
        self.remove(digest)
        _log.warning("a copy of a stored content was damaged and is fetched again", sha256=digest)
        return None

    def adopt(self, file: Path, digest: str) -> None:
        """Move a file that has been compared to its place, and make room for it."""
        place = self._place(digest)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = file.stat()
        self._compared.note(file, digest)
        file.rename(place)
        with self._lock:
            if self._bytes is not None:
                self._bytes += state.st_size
            if self._bytes is None or self._bytes > self.most_bytes:
                self._make_room()

    def remove(self, digest: str) -> None:
        """Remove the copy of a content, if there is one."""
        self._compared.forget(digest)
        self._place(digest).unlink(missing_ok=True)

    def digests(self) -> list[str]:
        """List the contents of which there is a copy."""
        return [file.name for file in self._files()]

    def _make_room(self) -> None:
        found = sorted((state.st_atime_ns, state.st_size, file) for file, state in _states(self._files()))
        total = sum(size for _, size, _ in found)
        if total > self.most_bytes:
            for _, size, file in found:
                if total <= self.most_bytes * KEPT_SHARE:
                    break
                file.unlink(missing_ok=True)
                self._compared.forget(file.name)
                total -= size
        self._bytes = total

    def _files(self) -> Iterator[Path]:
        return self._folder.glob("??/*")

    def _place(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest


def _states(files: Iterator[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    for file in files:
        try:
            yield file, file.stat()
        except FileNotFoundError:
            continue
