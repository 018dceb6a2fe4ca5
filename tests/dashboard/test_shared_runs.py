"""Equal questions at the same time are asked once."""

import asyncio

import pytest

from exai.dashboard.shared_runs import SharedRuns
from exai.errors import StoreFailed


async def test_equal_questions_share_one_run_and_others_do_not() -> None:
    runs, asked = SharedRuns(), 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.01)
        return asked

    answers = await asyncio.gather(*(runs.run("q", ask) for _ in range(10)))
    assert (answers, asked, runs.joined) == ([1] * 10, 1, 9)
    assert await runs.run("q", ask) == 2, "what is over is asked again"
    await asyncio.gather(runs.run("a", ask), runs.run("b", ask))
    assert asked == 4


async def test_a_failure_reaches_everyone_and_one_who_leaves_ends_it_for_no_other() -> None:
    runs = SharedRuns()
    gate = asyncio.Event()

    async def fail() -> int:
        await gate.wait()
        raise StoreFailed("The database is away.")

    first = asyncio.ensure_future(runs.run("q", fail))
    second = asyncio.ensure_future(runs.run("q", fail))
    await asyncio.sleep(0)
    first.cancel()
    gate.set()
    with pytest.raises(StoreFailed):
        await second
    with pytest.raises(asyncio.CancelledError):
        await first
