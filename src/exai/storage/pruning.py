"""Deletes old rows a batch at a time: writes of calls go out in between, and no transaction gets long."""

from collections.abc import Awaitable, Callable

__all__ = ["BATCH", "in_batches"]

BATCH = 5_000
"""Rows that one transaction deletes."""


async def in_batches(prune: Callable[[], Awaitable[int]]) -> int:
    """Delete until a deletion of at most `BATCH` rows finds fewer; return how many there were in all.

    Raises:
        StoreFailed: the database took no more deletions.
    """
    total = 0
    while True:
        deleted = await prune()
        total += deleted
        if deleted < BATCH:
            return total
