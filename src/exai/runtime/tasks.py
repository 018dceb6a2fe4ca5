"""Tasks that outlive the line that started them: each has a name and an owner, and its failure is logged.

The loop keeps only weak references to tasks; this module keeps strong ones until
they end, and logs an exception that nobody awaits.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

__all__ = ["spawn"]

T = TypeVar("T")

_log = structlog.get_logger(__name__)
_running: set[asyncio.Task[Any]] = set()


def spawn(work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """Start `work` as a named task on the running loop. Who spawns it also cancels or awaits it."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    _running.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("background task failed", task=task.get_name(), exc_info=error)
