"""A file that threads read and a task closes, in whatever order."""

import errno
import os
import threading

__all__ = ["OpenFile", "identity_of"]


def identity_of(status: os.stat_result) -> tuple[int, ...]:
    """Return what stays while nobody writes to a file."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class OpenFile:
    """A descriptor that is closed once, when the reads that have begun are over: none of them reads another file."""

    def __init__(self, descriptor: int) -> None:
        """Own a descriptor."""
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._reading = 0
        self._is_closed = False
        status = os.fstat(descriptor)
        self.size = status.st_size
        self.identity = identity_of(status)
        """As it was when it was opened."""

    def read(self, at: int, size: int) -> bytes:
        """Read some bytes; it blocks.

        Raises:
            OSError: it cannot be read, or is closed.
        """
        with self._lock:
            if self._is_closed:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            self._reading += 1
        try:
            return os.pread(self._descriptor, size, at)
        finally:
            with self._lock:
                self._reading -= 1
                self._release()

    def close(self) -> None:
        """Let go of the file, waiting for nothing; more than once does nothing."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._release()

    def __del__(self) -> None:
        """Close what was opened for a task that was cancelled meanwhile."""
        self.close()

    def _release(self) -> None:
        if self._is_closed and not self._reading:
            os.close(self._descriptor)
