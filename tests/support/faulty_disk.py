"""A disk, and a database, whose n-th call fails: once, or from then on until it is mended."""

import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import OperationalError

from exai.storage.database import Database

__all__ = ["DISK_CALLS", "FaultyDisk"]

DISK_CALLS = ("write", "writev", "fsync", "rename", "unlink", "mkdir")


class FaultyDisk:
    """Counts the calls of a store's threads, and the transactions of its database; one of them fails."""

    def __init__(self, fails_at: int, code: int, *, lasting: bool) -> None:
        self.calls = 0
        self.failures = 0
        self._fails_at = fails_at
        self._code = code
        self._lasting = lasting
        self._is_mended = False
        self._lock = threading.Lock()

    def mend(self) -> None:
        """Let every call succeed from now on."""
        self._is_mended = True

    def count(self) -> None:
        """Count a call; it may be the one that fails.

        Raises:
            OSError: it is.
        """
        with self._lock:
            self.calls += 1
            fails = self.calls >= self._fails_at if self._lasting else self.calls == self._fails_at
            if not fails or self._is_mended:
                return
            self.failures += 1
        raise OSError(self._code, os.strerror(self._code))

    @contextmanager
    def attached(self, database: Database) -> Iterator[None]:
        """Have the calls of this process counted, and the transactions of a database."""
        originals = {name: getattr(os, name) for name in DISK_CALLS}
        transact = database._writer._transact

        async def counted(work: Callable[[Any], Any]) -> Any:
            try:
                self.count()
            except OSError as error:
                raise OperationalError("COMMIT", {}, _failed_commit(error.errno)) from None
            return await transact(work)

        for name, original in originals.items():
            setattr(os, name, self._counted(original))
        database._writer._transact = counted
        try:
            yield
        finally:
            database._writer._transact = transact
            for name, original in originals.items():
                setattr(os, name, original)

    def _counted(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            # Only the store's own threads: the test itself writes too.
            if threading.current_thread().name.startswith("files"):
                self.count()
            return original(*arguments, **options)

        return counted


def _failed_commit(code: int | None) -> sqlite3.OperationalError:
    """What SQLite says of a disk that fails."""
    is_full = code == errno.ENOSPC
    error = sqlite3.OperationalError("database or disk is full" if is_full else "disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL if is_full else sqlite3.SQLITE_IOERR
    return error
