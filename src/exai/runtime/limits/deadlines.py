"""Deadlines of what a task waits for, with one timer of the loop for all of them.

`asyncio.timeout` sets a timer of the loop for each wait and takes it back, though almost none ever fires. Here a
deadline is a place in a heap, and the loop has one timer, set to the earliest place. A deadline that was left, or moved
to a later time, keeps its place until that time comes or the heap is cleaned, so neither costs anything at once.

What a scope does is what `asyncio.timeout` does, at the same moments:

    state     event                                   next      then
    open      left                                    left
    open      its moment                              expiring  the task is cancelled
    expiring  left by that cancellation alone         left      `TimeoutError`
    expiring  left otherwise                          left      the error, or the other cancellation, goes on
"""

import asyncio
from contextvars import Context
from heapq import heapify, heappop, heappush
from itertools import count
from types import TracebackType
from typing import Any, Self

__all__ = ["Deadline"]

LEAST_CLEANED = 256
"""Places from which on a heap is cleaned when most of them are of scopes that were left."""


class Deadline:
    """A scope that a moment ends, unless it was left before: a plain `with` around what is awaited.

    Raises:
        TimeoutError: the moment came inside of it.
    """

    __slots__ = ("_cancelling", "_sweeper", "expired", "place", "task", "when")

    def __init__(self, when: float) -> None:
        """End the scope at `when`, in seconds of the loop's clock."""
        self.when = when
        self.place = when
        """Under which moment it is in the heap: this one or, where it was moved to a later one, that of before."""
        self.task: asyncio.Task[Any] | None = None
        """Who is inside."""
        self.expired = False
        """Whether the moment came inside of the scope."""

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline is of a task")
        self.task = task
        self._cancelling = task.cancelling()
        loop = task.get_loop()
        self._sweeper = _latest if _latest is not None and _latest.loop is loop else _new_sweeper(loop)
        self._sweeper.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self.task = self.task, None
        self._sweeper.left += 1
        if not self.expired or task is None:
            return
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def move(self, when: float) -> None:
        """End the scope at another moment; without effect where it has come, or the scope was left."""
        self.when = when
        if when < self.place and self.task is not None and not self.expired:
            self.place = when
            self._sweeper.left += 1
            self._sweeper.add(self)


class _Sweeper:
    """The deadlines of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.left = 0
        """Places in the heap that stand for nothing any more, but for those that were swept meanwhile."""
        self._places: list[tuple[float, int, Deadline]] = []
        self._numbers = count()
        self._context = Context()
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = 0.0

    def add(self, deadline: Deadline) -> None:
        """Take a deadline in, under the moment of its place."""
        when = deadline.place
        heappush(self._places, (when, next(self._numbers), deadline))
        if self._timer is None or when < self._fires_at:
            self._fire_at(when)
        if len(self._places) >= LEAST_CLEANED and self.left > len(self._places) // 2:
            self._clean()

    def _fire_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_at = when
        self._timer = self.loop.call_at(when, self._sweep, context=self._context)

    def _sweep(self) -> None:
        """End the scopes whose moment has come, and have the timer fire at the next one."""
        self._timer = None
        # A loop calls what is due up to its clock's resolution too early.
        now, places = max(self.loop.time(), self._fires_at), self._places
        while places:
            stands, deadline = _stands(places[0]), places[0][2]
            if stands and places[0][0] > now:
                break
            heappop(places)
            if not stands:
                self.left -= 1
            elif deadline.when > now:
                deadline.place = deadline.when
                heappush(places, (deadline.when, next(self._numbers), deadline))
            elif deadline.task is not None:
                deadline.expired = True
                deadline.task.cancel()
        if places:
            self._fire_at(places[0][0])

    def _clean(self) -> None:
        """Drop the places that stand for nothing any more; each was added once, so this costs each one step."""
        self._places = [place for place in self._places if _stands(place)]
        heapify(self._places)
        self.left = 0


def _stands(place: tuple[float, int, Deadline]) -> bool:
    """Whether a place is that of a scope that is open."""
    when, _, deadline = place
    return deadline.task is not None and not deadline.expired and deadline.place == when


_latest: _Sweeper | None = None
"""That of the loop that was asked for last: a process has one loop, but for tests."""


def _new_sweeper(loop: asyncio.AbstractEventLoop) -> _Sweeper:
    global _latest  # noqa: PLW0603
    _latest = _Sweeper(loop)
    return _latest
