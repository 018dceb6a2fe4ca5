"""Waiting for a condition says what never came true."""

import asyncio

import pytest

from support.waiting import wait_until

pytestmark = pytest.mark.virtual_time


async def test_the_first_true_answer_is_returned() -> None:
    answers = iter([0, None, "", "here"])
    assert await wait_until(lambda: next(answers), what="an answer") == "here"


async def test_a_condition_may_be_awaited() -> None:
    loop = asyncio.get_running_loop()

    async def is_late() -> bool:
        await asyncio.sleep(0.5)
        return loop.time() > 3

    assert await wait_until(is_late, what="it is late")
    assert 3 < loop.time() < 4


async def test_what_never_came_true_is_said_with_what_was_seen_last() -> None:
    with pytest.raises(AssertionError, match=r"Not within 5 s: the list is full \(last seen: \[\]\)"):
        await wait_until(list, within=5, what="the list is full")
    assert asyncio.get_running_loop().time() == 5


async def test_what_may_be_said_at_the_end() -> None:
    seen: list[int] = []

    def full() -> bool:
        seen.append(1)
        return False

    with pytest.raises(AssertionError, match=r"asked [0-9]{2,} times"):
        await wait_until(full, within=5, what=lambda: f"asked {len(seen)} times")


async def test_a_condition_that_hangs_is_bounded_too() -> None:
    with pytest.raises(AssertionError, match="Not within 5 s: it answers"):
        await wait_until(asyncio.Event().wait, within=5, what="it answers")


async def test_an_error_of_the_condition_is_not_taken_for_the_bound() -> None:
    async def ask() -> bool:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await wait_until(ask, what="it answers")
