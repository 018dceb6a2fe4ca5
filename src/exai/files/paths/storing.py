"""Stores a file of this machine, from below the allowed folders.

It is opened for each piece of work in a thread, and no descriptor outlives one: a call that is cancelled leaves none
behind. What changes between two pieces is found by its SHA-256.
"""

import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from exai import config
from exai.errors import FileRefused
from exai.files.checks import secret_kind
from exai.files.faults import FileTooLarge
from exai.files.heavy_work import HeavyWork
from exai.files.paths.opening import open_inside, shown
from exai.files.pictures.sources import path_of
from exai.files.store.shelf import Shelf
from exai.runtime.os_errors import reason_of
from exai.storage.files.tables import FileRow

__all__ = ["PathStore"]

BLOCK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file as it was when it was hashed."""

    name: str
    size: int
    sha256: str


class PathStore:
    """Puts files that are named by their paths. A file that looks like a secret is left where it is."""

    def __init__(self, shelf: Shelf, settings: config.Files, work: HeavyWork) -> None:
        self._shelf = shelf
        self._settings = settings
        self._work = work
        # Resolved once: a root that is later replaced by a link leads nowhere.
        self.roots = tuple(Path(os.path.realpath(root)) for root in settings.roots)
        """The folders of which files are stored, resolved."""

    async def put(self, owner: str, given: str, name: str | None = None) -> FileRow:
        """Store the file at an absolute path or `file:` URL; equal content under the same name is the same file.

        Raises:
            FileRefused: it may not or cannot be read, or looks like a secret.
            QuotaExceeded, StoreFull, FileTooLarge: there is no space for it.
            LengthWrong, DigestDiffers: it was changed meanwhile.
            StoreUnavailable, StoreBusy, StoreFailed: it cannot be kept now.
        """
        path = path_of(given)
        seen = await self._work.files.run(owner, partial(self._look, path))
        row = await self._shelf.put_again(owner, name or seen.name, seen.sha256)
        if row is None:
            blocks = self._blocks(owner, path)
            row = await self._shelf.put(owner, name or seen.name, seen.size, blocks, expected=seen.sha256)
        return row

    async def _blocks(self, owner: str, path: str) -> AsyncIterator[bytes]:
        at = 0
        while block := await self._work.files.run(owner, partial(self._block, path, at)):
            at += len(block)
            yield block

    def _block(self, path: str, at: int) -> bytes:
        with open_inside(path, self.roots) as (descriptor, _):
            return _read(descriptor, at, BLOCK_BYTES, path)

    def _look(self, path: str) -> _Seen:
        with open_inside(path, self.roots) as (descriptor, real):
            size = os.fstat(descriptor).st_size
            if size > (most := self._settings.max_upload_bytes):
                raise FileTooLarge(
                    f"`{shown(path)}` has {size} bytes; one file may have {most} (`files.max_upload_bytes`)."
                )
            self._refuse_secret(descriptor, path, real)
            digest = hashlib.sha256()
            at = 0
            while block := _read(descriptor, at, BLOCK_BYTES, path):
                digest.update(block)
                at += len(block)
                if at > most:
                    raise FileTooLarge(f"`{shown(path)}` grows beyond the {most} bytes that a file may have.")
            return _Seen(real.name, at, digest.hexdigest())

    def _refuse_secret(self, descriptor: int, path: str, real: Path) -> None:
        text = _read(descriptor, 0, self._settings.max_file_bytes, path).decode(errors="replace")
        kind = secret_kind(Path(path), text) or secret_kind(real, text)
        if kind is not None:
            raise FileRefused(
                f"`{shown(path)}` looks as if it held {kind}, so it is not stored; name another file."
            )


def _read(descriptor: int, at: int, size: int, path: str) -> bytes:
    try:
        return os.pread(descriptor, size, at)
    except OSError as error:
        raise FileRefused(f"`{shown(path)}` cannot be read ({reason_of(error)}).") from error
