"""Threads for work that takes long, in pools by kind: none keeps another kind waiting, and no caller another caller.

Work is handed in under its caller's name. A caller has at most `per_caller` pieces of work in threads at once, and
threads are taken in turns by caller, so somebody with a thousand pieces delays another's first by one. Work may also
say how many bytes of memory it will take; a pool with `max_bytes` lets no more be taken at once.

    piece     event                                             next      then
    waiting   its caller's turn, a thread and memory are free   working
    waiting   cancelled                                         over
    working   cancelled                                         working   whoever waited is told; the thread goes on
    working   ends, however                                     over      thread and memory are free for the next

A thread cannot be stopped, so what it takes is given back when it ends, and not when nobody waits for it any more.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from exai.runtime.gate import Gate

__all__ = ["SharedResults", "WorkerPool"]

T = TypeVar("T")
V = TypeVar("V")


class SharedResults(Generic[V]):
    """What work with the same key came to: the latest results within a bound, and what is under way."""

    def __init__(self, most: int, size_of: Callable[[V], int] = lambda _: 1) -> None:
        """Keep results whose sizes are `most` in sum."""
        self._most = most
        self._size_of = size_of
        self._size = 0
        self._kept: OrderedDict[Hashable, V] = OrderedDict()
        self.under_way: dict[Hashable, asyncio.Future[V]] = {}

    def get(self, key: Hashable) -> V | None:
        """Return the result of that key, if it is kept."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def expect(self, key: Hashable, future: asyncio.Future[V]) -> None:
        """Keep what comes of work that has begun; a failure is not kept."""
        self.under_way[key] = future
        future.add_done_callback(lambda done: self._take(key, done))

    def _take(self, key: Hashable, done: asyncio.Future[V]) -> None:
        del self.under_way[key]
        if done.cancelled() or done.exception() is not None:
            return
        result = done.result()
        self._kept[key] = result
        self._size += self._size_of(result)
        while self._size > self._most:
            _, oldest = self._kept.popitem(last=False)
            self._size -= self._size_of(oldest)


class _Turn:
    """One piece of work that may begin."""

    def __init__(self, threads: ThreadPoolExecutor, give_back: Callable[[], None]) -> None:
        self._threads = threads
        self._give_back = give_back
        self.has_begun = False

    def begin(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run it in a thread; what it took is given back when the thread is done."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        self.has_begun = True
        future.add_done_callback(self._ended)
        return future

    def _ended(self, done: asyncio.Future[T]) -> None:
        self._give_back()
        if not done.cancelled():
            done.exception()  # whoever waited for it may have gone


class WorkerPool:
    """Threads for one kind of work."""

    def __init__(self, name: str, *, threads: int, per_caller: int, max_bytes: int | None = None) -> None:
        self.max_bytes = max_bytes
        self.bytes_in_use = 0
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._all = Gate(threads)
        self._per_caller = per_caller
        self._by_caller: dict[str, Gate] = {}
        self._freed = asyncio.Event()

    def close(self) -> None:
        """Begin nothing any more; what works goes on to its end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def run(self, caller: str, work: Callable[[], T], *, takes_bytes: int = 0) -> T:
        """Return what `work` returns, or raise what it raises."""
        async with self._turn(caller, takes_bytes) as turn:
            return await asyncio.shield(turn.begin(work))

    async def run_once(
        self,
        caller: str,
        key: Hashable,
        work: Callable[[], V],
        results: SharedResults[V],
        *,
        takes_bytes: int = 0,
    ) -> V:
        """Return what `work` of this `key` came to, for whichever caller; run it if nobody has.

        Nobody waits in another caller's turn: work is shared once it has begun.
        """
        while True:
            known = results.get(key)
            if known is not None:
                return known
            if (under_way := results.under_way.get(key)) is not None:
                await asyncio.wait([under_way])
                continue
            async with self._turn(caller, takes_bytes) as turn:
                if results.get(key) is None and key not in results.under_way:
                    future = turn.begin(work)
                    results.expect(key, future)
                    return await asyncio.shield(future)

    @asynccontextmanager
    async def _turn(self, caller: str, takes_bytes: int) -> AsyncIterator[_Turn]:
        """A scope that is entered when a thread and the memory are there for this caller."""
        own = self._by_caller.setdefault(caller, Gate(self._per_caller))
        await _enter(own, caller)
        try:
            await _enter(self._all, caller)
        except BaseException:
            self._leave(own, caller)
            raise

        taken = 0

        def give_back() -> None:
            self.bytes_in_use -= taken
            self._freed.set()
            self._all.give_back()
            self._leave(own, caller)

        turn = _Turn(self._threads, give_back)
        try:
            await self._room_for(takes_bytes)
            taken = takes_bytes
            self.bytes_in_use += taken
            yield turn
        finally:
            if not turn.has_begun:
                give_back()

    async def _room_for(self, wanted: int) -> None:
        """Wait for memory; what is larger than the whole waits until nothing else works."""
        while self.max_bytes is not None and 0 < self.bytes_in_use > self.max_bytes - wanted:
            self._freed.clear()
            await self._freed.wait()

    def _leave(self, own: Gate, caller: str) -> None:
        own.give_back()
        if not own.in_use and not own.waiting:
            self._by_caller.pop(caller, None)


async def _enter(gate: Gate, caller: str) -> None:
    if not gate.try_take():
        await gate.take(caller)
