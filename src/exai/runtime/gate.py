"""A limit on how many are inside at once, with a queue that is served in turns."""

import asyncio
from collections import OrderedDict, deque

__all__ = ["Gate"]


class Gate:
    """At most `limit` holders at once; the next permit goes to the caller whose turn it is."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_use = 0
        self.waiting = 0
        self.most_in_use = 0
        """The high-water mark; a test of the promise, and a figure for `status`."""
        self._turns: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    def try_take(self) -> bool:
        """Take a permit if one is free and nobody waits."""
        if self.in_use >= self.limit or self.waiting:
            return False
        self.in_use = in_use = self.in_use + 1
        self.most_in_use = max(self.most_in_use, in_use)
        return True

    async def take(self, turn_key: str) -> None:
        """Wait for a permit in the queue of `turn_key`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.setdefault(turn_key, deque()).append(future)
        self.waiting += 1
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                # Granted in the same turn of the loop in which the waiter was cancelled.
                self.give_back()
            else:
                self._leave_queue(turn_key, future)
            raise

    def give_back(self) -> None:
        """Return a permit; the next in turn gets it."""
        self.in_use -= 1
        if self._turns:
            self._serve()

    def waiters(self) -> list[tuple[str, int]]:
        """List who waits, and for how many permits; whose turn is next comes first."""
        return [(turn_key, len(queue)) for turn_key, queue in self._turns.items()]

    def _serve(self) -> None:
        while self.in_use < self.limit and self._turns:
            turn_key, queue = self._turns.popitem(last=False)
            future = queue.popleft()
            if queue:
                self._turns[turn_key] = queue
            self.waiting -= 1
            if not future.cancelled():
                self.in_use += 1
                self.most_in_use = max(self.most_in_use, self.in_use)
                future.set_result(None)

    def _leave_queue(self, turn_key: str, future: asyncio.Future[None]) -> None:
        queue = self._turns.get(turn_key)
        if queue is None or future not in queue:
            return  # its turn had come already, and `_serve` saw that it was cancelled
        queue.remove(future)
        self.waiting -= 1
        if not queue:
            del self._turns[turn_key]
