"""How long a thread that was ready to run had no core: what a busy machine adds to every wait."""

import sys
from pathlib import Path

__all__ = ["core_wait_s"]

_SCHEDULE = Path("/proc/thread-self/schedstat")
"""Nanoseconds on a core, nanoseconds of waiting for one, and turns (Linux, `scheduler/sched-stats.rst`)."""


def core_wait_s() -> float:
    """Return for how long this thread has waited for a core since it began; 0 where the system does not say."""
    if sys.platform != "linux":
        return 0.0
    try:
        return int(_SCHEDULE.read_bytes().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
