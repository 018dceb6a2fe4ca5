"""A limit that counts the time in which the loop ran."""

import asyncio

import pytest

from exai.runtime.limits.loop_time import within
from support.virtual_time import hold_at, now

pytestmark = pytest.mark.virtual_time


async def after(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


async def test_what_is_done_in_time_is_returned() -> None:
    assert await within(2.0, after(1.95), name="work") == "done"


async def test_what_is_not_done_is_cancelled() -> None:
    ended = asyncio.Event()

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        await within(2.0, hangs(), name="work")
    assert now() == pytest.approx(2.0)
    await ended.wait()


async def test_what_is_awaited_from_who_is_cancelled_is_cancelled_too() -> None:
    ended = asyncio.Event()

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await within(2.0, hangs(), name="work")
    await ended.wait()


async def test_a_loop_that_is_held_takes_no_time_from_what_is_awaited() -> None:
    hold_at(0.5, 60.0)
    assert await within(2.0, after(1.0), name="work") == "done"


async def test_a_loop_that_is_always_late_takes_no_time_either() -> None:
    for step in range(100):
        hold_at(step * 0.5, 0.4)

    async def many_passes() -> str:
        for _ in range(15):
            await asyncio.sleep(0.001)
        return "done"

    assert await within(2.0, many_passes(), name="work") == "done"


async def test_a_failure_is_raised() -> None:
    async def fails() -> None:
        raise KeyError("planted")

    with pytest.raises(KeyError):
        await within(2.0, fails(), name="work")
