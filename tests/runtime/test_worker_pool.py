"""Worker pools: a caller with much work delays nobody else, and what a thread takes comes back when the thread ends."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import pytest

from exai.runtime.worker_pool import SharedResults, WorkerPool
from support.waiting import wait_until


class Gated:
    """Work that takes until it is let go, and notes when it begins."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go = threading.Event()

    def __call__(self, name: str) -> str:
        self.begun.append(name)
        assert self.go.wait(60)
        return name


@pytest.fixture
def gated() -> Iterator[Gated]:
    work = Gated()
    yield work
    work.go.set()


async def test_a_caller_with_much_work_leaves_threads_to_the_others(gated: Gated) -> None:
    with closing(WorkerPool("test", threads=2, per_caller=1)) as pool:
        async with asyncio.TaskGroup() as tasks:
            for number in range(20):
                tasks.create_task(pool.run("greedy", partial(gated, f"g{number}")))
            await wait_until(lambda: gated.begun == ["g0"], what="the first work begins")
            assert await pool.run("modest", lambda: 7) == 7
            assert gated.begun == ["g0"]
            gated.go.set()
    assert len(gated.begun) == 20


async def test_threads_are_taken_in_turns(gated: Gated) -> None:
    order: list[str] = []
    with closing(WorkerPool("test", threads=1, per_caller=1)) as pool:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(pool.run("a", lambda: gated("first")))
            await wait_until(lambda: gated.begun == ["first"], what="the thread is taken")
            for name in ("a", "b"):
                for _ in range(3):
                    tasks.create_task(pool.run(name, partial(order.append, name)))
            await asyncio.sleep(0)
            gated.go.set()
    assert order[:3].count("b") >= 1
    assert sorted(order) == ["a"] * 3 + ["b"] * 3


async def test_cancelled_work_keeps_its_thread_until_the_thread_ends(gated: Gated) -> None:
    with closing(WorkerPool("test", threads=1, per_caller=1, max_bytes=10)) as pool:
        task = asyncio.create_task(pool.run("a", lambda: gated("first"), takes_bytes=7))
        await wait_until(lambda: gated.begun == ["first"], what="the thread is taken")
        task.cancel()
        await asyncio.wait([task])
        waiting = asyncio.create_task(pool.run("b", lambda: "second"))
        given_up = asyncio.create_task(pool.run("b", lambda: "third"))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait([given_up])
        assert pool.bytes_in_use == 7
        assert not waiting.done()
        gated.go.set()
        assert await waiting == "second"
        assert pool.bytes_in_use == 0
        assert await pool.run("b", lambda: "fourth") == "fourth"


async def test_no_more_memory_is_taken_at_once_than_there_is(gated: Gated) -> None:
    with closing(WorkerPool("test", threads=3, per_caller=3, max_bytes=10)) as pool:
        async with asyncio.TaskGroup() as tasks:
            for name in ("a", "b", "c"):
                tasks.create_task(pool.run(name, partial(gated, name), takes_bytes=5))
            await wait_until(lambda: len(gated.begun) == 2, what="two have their memory")
            assert pool.bytes_in_use == 10
            gated.go.set()
    assert gated.begun == ["a", "b", "c"]
    assert pool.bytes_in_use == 0


async def test_an_error_of_the_work_is_raised_and_everything_comes_back() -> None:
    def fail() -> None:
        raise ValueError("no")

    with closing(WorkerPool("test", threads=1, per_caller=1, max_bytes=1)) as pool:
        for _ in range(3):
            with pytest.raises(ValueError, match="no"):
                await pool.run("a", fail, takes_bytes=1)


async def test_the_same_work_is_done_once_for_all_who_want_it(gated: Gated) -> None:
    results: SharedResults[str] = SharedResults(10)
    with closing(WorkerPool("test", threads=2, per_caller=1)) as pool:

        async def want(caller: str) -> str:
            return await pool.run_once(caller, "key", lambda: gated("key"), results)

        first = asyncio.create_task(want("a"))
        await wait_until(lambda: gated.begun == ["key"], what="it begins")
        others = [asyncio.create_task(want(name)) for name in "aabbc"]
        await asyncio.sleep(0)
        first.cancel()
        gated.go.set()
        assert await asyncio.gather(*others) == ["key"] * 5
        assert await want("late") == "key"
    assert gated.begun == ["key"]


async def test_work_is_not_shared_in_the_turn_of_somebody_who_waits(gated: Gated) -> None:
    results: SharedResults[str] = SharedResults(10)
    with closing(WorkerPool("test", threads=2, per_caller=1)) as pool:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(pool.run("greedy", lambda: gated("long")))
            await wait_until(lambda: gated.begun == ["long"], what="the greedy caller's thread is taken")
            queued = tasks.create_task(pool.run_once("greedy", "key", lambda: "theirs", results))
            await asyncio.sleep(0)
            assert await pool.run_once("modest", "key", lambda: "own", results) == "own"
            assert not queued.done()
            gated.go.set()
    assert queued.result() == "own"


async def test_failed_work_is_tried_by_the_next_who_wants_it() -> None:
    results: SharedResults[str] = SharedResults(10)
    attempts = []

    def fail_once() -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("once")
        return "done"

    with closing(WorkerPool("test", threads=1, per_caller=1)) as pool:
        with pytest.raises(ValueError, match="once"):
            await pool.run_once("a", "key", fail_once, results)
        assert await pool.run_once("a", "key", fail_once, results) == "done"


async def test_results_are_kept_within_their_bound() -> None:
    results: SharedResults[str] = SharedResults(5, len)
    with closing(WorkerPool("test", threads=1, per_caller=1)) as pool:
        for text in ("aa", "bb", "aa", "cc"):
            await pool.run_once("a", text, partial(str, text), results)
    assert [results.get(text) for text in ("aa", "bb", "cc")] == ["aa", None, "cc"]
