"""Space of a disk that is kept aside, so that what frees space can be written where nothing else can."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

__all__ = ["RESERVE_BYTES", "DiskReserve"]

RESERVE_BYTES = 2**20


class DiskReserve:
    """A file that holds nothing but space."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.is_released = False
        """Whether this process has given the space away, and not taken it again."""

    def keep(self) -> None:
        """Take the space, where it is not taken and the disk has more than twice as much; a failure changes nothing."""
        with suppress(OSError):
            if not self._file.exists():
                if shutil.disk_usage(self._file.parent).free < 2 * RESERVE_BYTES:
                    return
                self._take()
            self.is_released = False

    def release(self) -> bool:
        """Give the space away; whether there was any."""
        with suppress(OSError):
            self._file.unlink()
            self.is_released = True
            return True
        return False

    def _take(self) -> None:
        try:
            with self._file.open("xb") as file:
                self._file.chmod(0o600)
                file.write(bytes(RESERVE_BYTES))
                file.flush()
                os.fdatasync(file.fileno())
        except FileExistsError:
            return  # another process was first
        except OSError:
            self._file.unlink(missing_ok=True)
            raise
