"""Which processes on a database are alive: each holds a lock for as long as it lives.

The operating system, or the database server, releases the lock when a process
dies, however it dies; so a process that can take a run's lock knows that the run is over.
A lock can also go by itself, when a server restarts or a folder is cleared; its process takes
it anew within a second or two.
"""

import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from exai.runtime.file_lock import try_lock

__all__ = ["FileRuns", "Runs", "began_at", "new_run_id"]


def new_run_id() -> str:
    """Make an id for this process' time on a database; it tells when that began."""
    return f"run_{int(time.time() * 1000):x}_{secrets.token_hex(8)}"


def began_at(run_id: str) -> float:
    """Read from a run's id when it began, in seconds since 1970; 0 for one that does not tell."""
    milliseconds = run_id.removeprefix("run_").rpartition("_")[0]
    try:
        return int(milliseconds, 16) / 1000
    except ValueError:
        return 0.0


class Runs(Protocol):
    """The lock of this run, and a test of others'."""

    async def begin(self, run_id: str) -> None:
        """Hold this run's lock until `end`."""
        ...

    async def keep(self) -> None:
        """Take this run's lock anew where it was lost."""
        ...

    async def is_over(self, run_id: str) -> bool:
        """Whether another run's process has gone."""
        ...

    async def end(self) -> None:
        """Release the lock."""
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
