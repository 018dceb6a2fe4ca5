"""Group commit: writes that arrive together share one transaction.

A write that comes alone is committed at once; those that arrive while it is being
committed share the next commit. Once commits are shared, the next one waits for the
least interval, so that a busy daemon makes few large ones. A write that may wait
begins no commit for a moment: it travels with the next one. A batch that
fails is tried again one write at a time, so that a bad write hurts its own caller
alone; but not when the database itself is out of reach or broke off, where each
would wait as long again, and one that was kept after all would be written twice
(`faults` tells these apart). Durable writes, which may be written twice, are queued until
the database is back, up to a bound; one is given up only where the database refuses it
alone. The order within a transaction is that of `write_operations.LockGroup`.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import structlog
from sqlalchemy import Connection

from exai.errors import StoreFailed
from exai.runtime import tasks
from exai.runtime.disk_reserve import DiskReserve
from exai.storage.fault_log import FaultLog
from exai.storage.faults import FAULTS, Verdict, is_disk_full, store_failed, verdict_on
from exai.storage.write_operations import WriteOperation

__all__ = ["GroupWriter", "Transact"]

P = TypeVar("P")
R = TypeVar("R")

_log = structlog.get_logger(__name__)

LARGEST_BATCH = 500
SHARED = 4
"""From how many writes on a commit counts as shared. One call at a time makes two or three."""
LONGEST_WAIT_S = 0.05
"""For how long a write that may wait is without a commit, while nothing else is written."""
RETRY_S = 2.0
"""After an outage began, until one batch of the pending durable writes tries whether the database is back."""
MOST_PENDING = 10_000

Transact = Callable[[Callable[[Connection], Any]], Awaitable[Any]]
"""Runs its argument in one transaction, committed when it returns."""


class _Write(msgspec.Struct):
    operation: WriteOperation[Any, Any]
    parameters: Any
    done: asyncio.Future[Any] | None = None
    """`None`: no caller waits for the result."""
    durable: bool = False


class GroupWriter:
    """Owns the one task that writes."""

    def __init__(self, transact: Transact, interval_s: float, reserve: DiskReserve | None = None) -> None:
        """`reserve` is released when the disk is full and a write frees space."""
        self._reserve = reserve
        self._transact = transact
        self._interval_s = interval_s
        self._queue: list[_Write] = []
        self._pending: deque[_Write] = deque()
        """Durable writes of an outage, which are queued again once it is over."""
        self._next_try: asyncio.TimerHandle | None = None
        self.dropped = 0
        """Durable writes that were given up: refused, too many, or the end came first."""
        self.faults = FaultLog("writes")
        self._wake = asyncio.Event()
        self._wake_later: asyncio.TimerHandle | None = None
        """Set by the first write that may wait, until its time has come."""
        self._closing = False
        self._task = tasks.spawn(self._run(), name="group commit")

    async def write(self, operation: WriteOperation[P, R], parameters: P) -> R:
        """Return the result, once it is committed. Cancelling the wait does not undo the write.

        Raises:
            StoreFailed: it was not kept.
        """
        if self._closing:
            raise StoreFailed("EXAI is shutting down and its database is closed. Try again in a few seconds.")
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._add(_Write(operation, parameters, done))
        return await done

    def write_soon(
        self,
        operation: WriteOperation[P, R],
        parameters: P,
        *,
        durable: bool = False,
        may_wait: bool = False,
    ) -> None:
        """Queue a write without waiting for its result; a failure is logged.

        One that `durable` is tried again until the database is back: its operation may run twice. One that `may_wait`
        is committed with the next write, or after `LONGEST_WAIT_S`.
        """
        if self._closing:
            _log.error("a write came after the database was closed", operation=operation.name)
            return
        write = _Write(operation, parameters, durable=durable)
        if not may_wait:
            self._add(write)
            return
        self._queue.append(write)
        if self._wake_later is None:
            self._wake_later = asyncio.get_running_loop().call_later(LONGEST_WAIT_S, self._wait_no_longer)

    @property
    def pending_durable(self) -> int:
        """How many durable writes wait for the database to come back."""
        return len(self._pending)

    async def close(self) -> None:
        """Commit what is queued, then stop. Pending durable writes are tried once more."""
        self._closing = True
        self._requeue(len(self._pending))
        self._wake.set()
        await asyncio.wait([self._task])
        if self._wake_later is not None:
            self._wake_later.cancel()
        self.faults.close()

    def _wait_no_longer(self) -> None:
        self._wake_later = None
        if self._queue:
            self._wake.set()

    def _add(self, write: _Write) -> None:
        self._queue.append(write)
        self._wake.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        next_commit = 0.0
        while self._queue or not self._closing:
            await self._wake.wait()
            if (pause := next_commit - loop.time()) > 0 and not self._closing:
                await asyncio.sleep(pause)
            began = loop.time()
            batch, self._queue = self._queue[:LARGEST_BATCH], self._queue[LARGEST_BATCH:]
            if not self._queue and not self._closing:
                self._wake.clear()
            if batch:
                await self._commit(batch)
            next_commit = began + self._interval_s if len(batch) >= SHARED else 0.0

    async def _commit(self, batch: list[_Write]) -> None:
        try:
            results = await self._transact(lambda connection: _apply(connection, batch))
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the writes of this batch
            if freeing := self._freeing(batch, error):
                await self._commit(freeing)
                batch = [write for write in batch if write not in freeing]
                if not batch:
                    return
            verdict = verdict_on(error)
            if verdict not in (Verdict.AWAY, Verdict.BUSY) and len(batch) > 1:
                for write in batch:
                    await self._commit([write])
                return
            self._fail(batch, error)
            durable = [write for write in batch if write.durable]
            if verdict is Verdict.REFUSED:
                self._give_up(len(durable))
            else:
                self._postpone(durable)
            return
        self.faults.succeeded()
        if self._reserve is not None and self._reserve.is_released:
            await asyncio.to_thread(self._reserve.keep)
        self._requeue(len(self._pending))
        for write, result in zip(batch, results, strict=True):
            if write.done is not None and not write.done.done():
                write.done.set_result(result)

    def _freeing(self, batch: list[_Write], error: Exception) -> list[_Write]:
        """Return the writes that are to be tried once more, on the space that was kept aside for them."""
        freeing = [write for write in batch if write.operation.frees_space]
        if not freeing or not is_disk_full(error) or self._reserve is None or not self._reserve.release():
            return []
        _log.warning("the disk of the database is full: its reserve is used to remove files")
        return freeing

    def _fail(self, batch: list[_Write], error: Exception) -> None:
        is_fault = isinstance(error, FAULTS)
        if is_fault or any(write.done is None for write in batch):
            self.faults.failed(error, writes_lost=sum(not write.durable for write in batch))
        for write in batch:
            if write.done is not None and not write.done.done():
                write.done.set_exception(_caused(store_failed(error), error) if is_fault else error)

    def _give_up(self, writes: int) -> None:
        self.dropped += writes
        self.faults.gave_up(writes)

    def _postpone(self, writes: list[_Write]) -> None:
        """Keep durable writes until the outage is over: these and the queued ones, whose batches would wait as long.

        While closing there is no later time: they are given up.
        """
        self._pending += writes
        self._pending += [write for write in self._queue if write.durable]
        self._queue = [write for write in self._queue if not write.durable]
        room = 0 if self._closing else MOST_PENDING
        excess = max(0, len(self._pending) - room)
        for _ in range(excess):
            self._pending.popleft()
        self._give_up(excess)
        if self._pending and self._next_try is None:
            loop = asyncio.get_running_loop()
            self._next_try = loop.call_later(RETRY_S, self._requeue, LARGEST_BATCH)

    def _requeue(self, most: int) -> None:
        """Queue up to `most` of the pending durable writes again."""
        if self._next_try is not None:
            self._next_try.cancel()
            self._next_try = None
        for _ in range(min(most, len(self._pending))):
            self._add(self._pending.popleft())


def _caused(failed: StoreFailed, error: Exception) -> StoreFailed:
    """Keep what the database raised as the cause of what callers get."""
    failed.__cause__ = error
    return failed


def _apply(connection: Connection, batch: list[_Write]) -> list[Any]:
    """Run the batch operation by operation, in the order of their lock groups; within one in order of arrival."""
    indexes_of: dict[WriteOperation[Any, Any], list[int]] = {}
    for index, write in enumerate(batch):
        indexes_of.setdefault(write.operation, []).append(index)
    results: list[Any] = [None] * len(batch)
    for operation, indexes in sorted(indexes_of.items(), key=lambda item: item[0].group):
        operation.lock_group(connection)
        answers = operation.run(connection, [batch[index].parameters for index in indexes])
        for index, answer in zip(indexes, answers, strict=True):
            results[index] = answer
    return results
