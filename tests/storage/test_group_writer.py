"""Group commit by itself: what is tried again after a failure, and what is not."""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from exai.errors import StoreFailed
from exai.storage import group_writer
from exai.storage.group_writer import LARGEST_BATCH, LONGEST_WAIT_S, RETRY_S, SHARED, GroupWriter
from exai.storage.write_operations import LockGroup, together
from support.virtual_time import now
from support.waiting import wait_until

INTERVAL_S = 60.0

pytestmark = pytest.mark.virtual_time


@together(LockGroup.CALLS)
def keep(_connection: Any, many: list[Any]) -> list[Any]:
    return many


class Attempts:
    """Stands for the database: counts the transactions, and fails those that hold a poisoned write."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.count = 0
        self.gate = asyncio.Event()

    async def __call__(self, work: Callable[[Any], Any]) -> Any:
        await self.gate.wait()
        self.count += 1
        result = work(None)
        if self.fault is not None and "poison" in result:
            raise self.fault
        return result


async def outcomes(attempts: Attempts, parameters: list[str]) -> list[Any]:
    """What becomes of writes that share a batch."""
    writer = GroupWriter(attempts, 0.0)
    first = asyncio.get_running_loop().create_task(writer.write(keep, "first"))
    await asyncio.sleep(0)
    rest = [asyncio.get_running_loop().create_task(writer.write(keep, each)) for each in parameters]
    await asyncio.sleep(0)
    attempts.gate.set()
    results = await asyncio.gather(first, *rest, return_exceptions=True)
    await writer.close()
    return results[1:]


async def test_a_refused_write_is_found_by_trying_each_alone() -> None:
    attempts = Attempts(IntegrityError("INSERT", {}, ValueError("twice")))
    results = await outcomes(attempts, ["a", "poison", "b"])
    assert [type(result) for result in results] == [str, StoreFailed, str]
    assert attempts.count == 1 + 1 + 3


@pytest.mark.parametrize(
    "fault",
    [
        TimeoutError(),
        ConnectionRefusedError(),
        PoolTimeout(),
        OperationalError("INSERT", {}, ValueError("disk is full")),
        OperationalError("INSERT", {}, sqlite3.OperationalError("an error of Python's own, without a code")),
        DBAPIError("COMMIT", {}, ValueError("connection was closed"), connection_invalidated=True),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_an_outage_is_waited_for_once_and_nothing_is_written_twice(fault: Exception) -> None:
    attempts = Attempts(fault)
    results = await outcomes(attempts, ["a", "poison", "b", "c"])
    assert all(isinstance(result, StoreFailed) for result in results)
    assert attempts.count == 1 + 1


class Away:
    """Stands for a database that is out of reach until it is told otherwise."""

    def __init__(self) -> None:
        self.is_away = True
        self.count = 0
        self.kept: list[Any] = []

    async def __call__(self, work: Callable[[Any], Any]) -> Any:
        self.count += 1
        if self.is_away:
            raise ConnectionRefusedError
        result = work(None)
        self.kept += result
        return result


async def test_what_insists_is_kept_once_the_database_is_back_and_nothing_else_is() -> None:
    database = Away()
    writer = GroupWriter(database, 0.0)
    for end in "abc":
        writer.write_soon(keep, end, durable=True)
    writer.write_soon(keep, "may go")
    with pytest.raises(StoreFailed):
        await writer.write(keep, "refused")
    await wait_until(lambda: writer.pending_durable == 3, what="three ends wait")
    assert database.count == 1
    database.is_away = False
    assert await writer.write(keep, "later") == "later"
    await wait_until(lambda: len(database.kept) == 4, what="the ends are kept")
    await writer.close()
    assert database.kept == ["later", "a", "b", "c"]
    assert (writer.pending_durable, writer.dropped) == (0, 0)


async def test_the_database_is_looked_for_although_nobody_writes() -> None:
    database = Away()
    writer = GroupWriter(database, 0.0)
    writer.write_soon(keep, "end", durable=True)
    await asyncio.sleep(2.5 * RETRY_S)
    assert database.count == 3
    database.is_away = False
    await asyncio.sleep(0.5 * RETRY_S)
    assert database.kept == ["end"]
    await writer.close()
    assert writer.dropped == 0


async def test_what_insists_is_bounded_and_counted_where_it_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_writer, "MOST_PENDING", 3)
    database = Away()
    writer = GroupWriter(database, 0.0)
    for end in range(5):
        writer.write_soon(keep, end, durable=True)
    await wait_until(lambda: writer.pending_durable == 3, what="three ends wait")
    assert writer.dropped == 2
    database.is_away = False
    await writer.close()
    assert database.kept == [2, 3, 4]


async def test_a_stop_tries_once_more_and_waits_no_longer() -> None:
    database = Away()
    writer = GroupWriter(database, 0.0)
    writer.write_soon(keep, 0, durable=True)
    await wait_until(lambda: writer.pending_durable == 1, what="the end waits")
    for end in range(1, 2 * LARGEST_BATCH):
        writer.write_soon(keep, end, durable=True)
    await writer.close()
    assert database.count == 2
    assert (writer.pending_durable, writer.dropped) == (0, 2 * LARGEST_BATCH)


async def test_an_error_of_the_code_reaches_its_caller_as_it_is() -> None:
    results = await outcomes(Attempts(KeyError("bug")), ["a", "poison"])
    assert results[0] == "a"
    assert isinstance(results[1], KeyError)


async def test_a_write_after_the_end_is_refused_and_a_queued_one_dropped_without_raising() -> None:
    attempts = Attempts()
    attempts.gate.set()
    writer = GroupWriter(attempts, 0.0)
    await writer.close()
    writer.write_soon(keep, "late")
    with pytest.raises(StoreFailed, match="shutting down"):
        await writer.write(keep, "late")
    assert attempts.count == 0


async def test_writes_that_come_alone_never_wait_for_the_interval() -> None:
    attempts = Attempts()
    attempts.gate.set()
    writer = GroupWriter(attempts, INTERVAL_S)
    assert [await writer.write(keep, each) for each in "abc"] == ["a", "b", "c"]
    await writer.close()
    assert now() == 0
    assert attempts.count == 3


async def test_after_a_shared_commit_the_next_one_waits_for_the_interval() -> None:
    attempts = Attempts()
    attempts.gate.set()
    writer = GroupWriter(attempts, INTERVAL_S)
    await asyncio.gather(*(writer.write(keep, each) for each in range(SHARED)))
    assert (attempts.count, now()) == (1, 0)
    await writer.write(keep, "b")
    assert (attempts.count, now()) == (2, INTERVAL_S)
    await writer.close()


class Committed:
    """Stands for the database: what each transaction kept, and when."""

    def __init__(self) -> None:
        self.batches: list[tuple[float, list[str]]] = []

    async def __call__(self, work: Callable[[Any], Any]) -> Any:
        result = work(None)
        self.batches.append((now(), result))
        return result


async def test_a_write_that_may_wait_travels_with_the_next_one_before_it() -> None:
    committed = Committed()
    writer = GroupWriter(committed, 0.0)
    writer.write_soon(keep, "end", may_wait=True)
    await writer.write(keep, "begin")
    await asyncio.sleep(2 * LONGEST_WAIT_S)
    await writer.close()
    assert committed.batches == [(0.0, ["end", "begin"])]


async def test_writes_that_may_wait_and_are_followed_by_no_other_are_committed_once_their_time_has_come() -> (
    None
):
    committed = Committed()
    writer = GroupWriter(committed, 0.0)
    for ends in ("ab", "cd"):
        for end in ends:
            writer.write_soon(keep, end, may_wait=True)
            await asyncio.sleep(LONGEST_WAIT_S / 2)
        await asyncio.sleep(LONGEST_WAIT_S)
    await writer.close()
    assert committed.batches == [(LONGEST_WAIT_S, ["a", "b"]), (round(3 * LONGEST_WAIT_S, 9), ["c", "d"])]


async def test_the_end_waits_for_no_write_that_may_wait() -> None:
    attempts = Attempts()
    attempts.gate.set()
    writer = GroupWriter(attempts, 0.0)
    writer.write_soon(keep, "end", may_wait=True)
    await writer.close()
    assert (attempts.count, now()) == (1, 0)
