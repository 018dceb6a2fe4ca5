"""Which processes on a database are alive: on SQLite each holds a locked file for as long as it lives.

The operating system releases the lock when a process dies, however it dies; so a process that can take a run's lock
knows that the run is over. A lock can also go by itself, when a folder is cleared; its process takes it anew within
a second or two. On PostgreSQL, where processes are on several hosts, they beat (`storage.fleet.beating`).
"""

import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from exai.runtime.file_lock import try_lock

__all__ = ["FileRuns", "Runs", "new_run_id", "tag_of"]


def new_run_id() -> str:
    """Make an id for this process' time on a database; it tells when that began."""
    return f"run_{int(time.time() * 1000):x}_{secrets.token_hex(8)}"


def tag_of(run_id: str) -> str:
    """Return the 8 hex digits by which a run is called among replicas."""
    return run_id[-8:]


class Runs(Protocol):
    """The sign of life of this run, and a test of others'."""

    async def begin(self, run_id: str) -> None:
        """Give the sign until `end`."""
        ...

    async def keep(self) -> None:
        """Give it anew where it was lost."""
        ...

    async def is_over(self, run_id: str) -> bool:
        """Whether another run's process has gone."""
        ...

    async def end(self) -> None:
        """Take the sign back."""
        ...


class FileRuns:
    """Locked files in a folder beside a SQLite file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: tuple[Path, IO[bytes]] | None = None

    async def begin(self, run_id: str) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / run_id
        file = path.open("wb")
        if not try_lock(file):
            raise OSError(f"{path} is locked by another process")
        self._held = (path, file)

    async def keep(self) -> None:
        if self._held is None:
            return
        path, file = self._held
        if not _is_same(path, file):  # somebody cleared the folder
            file.close()
            self._held = None
            await self.begin(path.name)

    async def is_over(self, run_id: str) -> bool:
        path = self._folder / run_id
        try:
            file = path.open("r+b")
        except FileNotFoundError:
            return True
        with file:
            if not try_lock(file):
                return False
        with suppress(FileNotFoundError):
            path.unlink()
        return True

    async def end(self) -> None:
        if self._held is not None:
            path, file = self._held
            self._held = None
            with suppress(FileNotFoundError):
                path.unlink()
            file.close()


def _is_same(path: Path, file: IO[bytes]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
