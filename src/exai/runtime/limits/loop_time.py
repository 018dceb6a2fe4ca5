"""Limits that count the time in which the event loop ran, and not how late it was.

While the loop is held, or the machine is busy with others, nothing that is awaited goes on, and an answer that has
arrived is not seen. A timer that is due then says nothing of who was to answer. So a limit is made of short waits:
each counts for its own length, however late the loop comes back from it, and after each what has arrived is seen.
"""

import asyncio
from collections.abc import Coroutine
from math import ceil
from typing import Any, TypeVar

from exai.runtime import tasks

__all__ = ["STEP_S", "within"]

T = TypeVar("T")

STEP_S = 0.1


async def within(seconds: float, work: Coroutine[Any, Any, T], *, name: str) -> T:
    """Return the result of `work`, which runs as a task of that name and is cancelled when this ends without it.

    Raises:
        TimeoutError: it was not done after `seconds` in which the loop ran.
    """
    task = tasks.spawn(work, name=name)
    try:
        for _ in range(ceil(seconds / STEP_S)):
            await asyncio.wait([task], timeout=STEP_S)
            if task.done():
                return task.result()
    finally:
        task.cancel()
    raise TimeoutError
