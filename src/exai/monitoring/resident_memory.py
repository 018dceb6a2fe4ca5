"""How much memory the process has in use."""

import os
from pathlib import Path

__all__ = ["resident_mib"]

_STATM = Path("/proc/self/statm")
"""In pages: of the address space, resident, and further ones (Linux, `filesystems/proc.rst`)."""


def resident_mib() -> float | None:
    """Return the resident memory in MiB; `None` where the system does not say."""
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, ValueError, IndexError):
        return None
