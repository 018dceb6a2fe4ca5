"""A lock on a file, which the operating system releases when its process dies, in whatever way."""

import sys
from typing import IO

if sys.platform == "win32":
    import msvcrt

    _TAKEN: type[OSError] = OSError
else:
    import fcntl

    _TAKEN: type[OSError] = BlockingIOError

__all__ = ["try_lock"]


def try_lock(file: IO[bytes]) -> bool:
    """Take the file's lock, until it is closed, unless another process has it."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except _TAKEN:
        return False
    return True
