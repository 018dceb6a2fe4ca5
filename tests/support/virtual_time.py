"""An event loop whose clock jumps to the next timer, so that a wait of two minutes takes none and lasts exactly two.

The clock moves only when nothing but a timer can wake the loop. While anything else may, it does not move and the
loop waits for that in real time: a job in an executor, another thread, bytes under way between two sockets of this
process (`support.loopback`), a peer outside of it. So the time that a database or a socket takes counts as none, and
a test on a busy machine measures what it measures on a quiet one.

Use it with `@pytest.mark.virtual_time`; give what is tested a `LoopClock`.
"""

import asyncio
import selectors
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

from exai.runtime.clock import Clock
from support.loopback import under_way

__all__ = ["LoopClock", "VirtualTimeLoop", "VirtualTimeStuckError", "hold_at", "now"]

T = TypeVar("T")

STUCK_S = 30.0
"""Real seconds without a wake-up from outside after which a test fails instead of waiting on."""
SLICE_S = 0.002
"""How often, in real time, a waiting loop looks again at what it waits for."""


class VirtualTimeStuckError(RuntimeError):
    """Nothing can wake the loop any more, or what could has not for `STUCK_S`."""


def now() -> float:
    """Read the running loop's time: 0 at the start of a test, fixtures included."""
    return asyncio.get_running_loop().time()


def hold_at(moment: float, seconds: float) -> None:
    """Hold the running loop for `seconds`, in so many seconds from now: the timers of that time all come late."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.call_later(moment, loop.advance, seconds)


class LoopClock(Clock):
    """The `Clock` that reads the running loop's time. `wall` is the date at which it is made."""

    def __init__(self, wall: float = 1_700_000_000.0) -> None:
        self._loop = asyncio.get_running_loop()  # threads may ask for the time too
        self._wall_at_zero = wall - self._loop.time()

    def monotonic(self) -> float:
        return self._loop.time()

    def wall(self) -> float:
        return self._wall_at_zero + self._loop.time()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop with another clock. Its time starts at 0 and is read in whole nanoseconds."""

    def __init__(self) -> None:
        self._now = 0.0
        self._jobs: list[tuple[asyncio.Future[Any], Future[Any]]] = []
        self._workers: set[threading.Thread] = set()
        self._threads_before = set(threading.enumerate())
        super().__init__(_JumpingSelector(self))
        self._own_executor = ThreadPoolExecutor(thread_name_prefix="asyncio", initializer=self._note_worker)
        self.set_default_executor(self._own_executor)

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass. The sum is rounded, so that 0.1 and 0.2 are 0.3."""
        self._now = round(self._now + seconds, 9)

    def run_in_executor(  # type: ignore[override] # typeshed has it with a TypeVarTuple
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        submits = _Submits(executor or self._own_executor, self._workers)
        future = super().run_in_executor(submits, func, *args)
        if submits.job is not None:
            self._jobs.append((future, submits.job))
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109
        """Wait for the executor's jobs in this thread; asyncio would start another thread to wait in, for each loop."""
        self._executor_shutdown_called = True
        self._own_executor.shutdown(wait=True)

    def _note_worker(self) -> None:
        self._workers.add(threading.current_thread())

    def awaited_outside(self) -> str | None:
        """What outside the loop may still wake it; `None` if nothing can."""
        self._jobs = [(future, job) for future, job in self._jobs if not (future.done() and job.done())]
        if self._jobs:
            return f"{len(self._jobs)} jobs in executors"
        for thread in threading.enumerate():
            if thread not in self._threads_before and thread not in self._workers:
                return f"the thread {thread.name!r}"
        return None


class _Submits(Executor):
    """Hands a job on to an executor; keeps it, and notes the thread that ran it."""

    def __init__(self, executor: Executor, workers: set[threading.Thread]) -> None:
        self._executor = executor
        self._workers = workers
        self.job: Future[Any] | None = None

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        def work() -> T:
            self._workers.add(threading.current_thread())
            return fn(*args, **kwargs)

        job = self._executor.submit(work)
        # A pool may start a thread for a job that one of its idle threads takes first.
        self._workers.update(getattr(self._executor, "_threads", ()))
        self.job = job
        return job


class _JumpingSelector(selectors.DefaultSelector):
    """Polls; when there is nothing, moves the loop's clock instead of waiting."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        awaited = self._awaited()
        ready = super().select(0)  # what it awaited may have arrived before it was asked
        if ready:
            return ready
        if awaited is None and timeout is None:
            raise VirtualTimeStuckError("Nothing can wake the loop: no timer, no job, no socket is left.")
        if awaited is not None:
            return self._wait(awaited)
        self._loop.advance(timeout or 0)
        return []

    def _awaited(self) -> str | None:
        return self._loop.awaited_outside() or under_way(key.fd for key in self.get_map().values())

    def _wait(self, awaited: str | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait in real time until something arrives or nothing more is awaited."""
        ends_at = time.monotonic() + STUCK_S
        named = awaited
        while awaited is not None:
            if ready := super().select(SLICE_S):
                return ready
            if time.monotonic() > ends_at:
                raise VirtualTimeStuckError(
                    f"The clock stands still: the loop has waited {STUCK_S:g} s for {named}."
                )
            awaited = self._awaited()
        return []
