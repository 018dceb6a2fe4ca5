"""What a process does with its memory once it is ready to serve."""

import gc

__all__ = ["settle_memory"]

GC_THRESHOLDS = (10_000, 10, 20)
"""What was under way during a collection of the youngest is garbage a moment later and waits for the next but one
generation's: seldom enough, it looks like a leak."""


def settle_memory() -> None:
    """Keep what the start made out of every collection to come: a full one would stop calls for 50 to 160 ms.

    That is for a process that serves until its end: what is garbage from now on of what is frozen here stays.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
