"""Equal questions that are under way at the same time are asked once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

from exai.runtime import tasks

__all__ = ["SharedRuns"]

T = TypeVar("T")


class SharedRuns:
    """Runs each question once, however many ask it before it is answered."""

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[Any]] = {}
        self.joined = 0
        """How many were answered by the run of another."""

    async def run(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """Return the answer to a question; `key` says which are equal."""
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = tasks.spawn(_outcome(ask), name="page query")
            running.add_done_callback(lambda _: self._running.pop(key, None))
        else:
            self.joined += 1
        outcome = await asyncio.shield(running)
        if isinstance(outcome, Exception):
            raise outcome
        answer: T = outcome
        return answer


async def _outcome(ask: Callable[[], Awaitable[T]]) -> T | Exception:
    """Return what went wrong instead of raising it: several may wait for it, or nobody any more."""
    try:
        return await ask()
    except Exception as error:  # noqa: BLE001 - raised to everyone who asked
        return error
