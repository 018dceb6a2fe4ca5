"""Deadlines against `asyncio.timeout`, whose promise they keep with one timer for all."""

import asyncio
import gc
import random
import weakref
from collections.abc import Callable

import pytest

from exai.runtime.limits import deadlines
from exai.runtime.limits.deadlines import Deadline
from support.virtual_time import now

pytestmark = pytest.mark.virtual_time


async def test_a_wait_ends_at_its_moment() -> None:
    with pytest.raises(TimeoutError), Deadline(now() + 120) as limit:
        await asyncio.sleep(1_000)
    assert (now(), limit.expired) == (120, True)


async def test_what_is_left_in_time_is_not_cut() -> None:
    with Deadline(now() + 120) as limit:
        await asyncio.sleep(119)
    await asyncio.sleep(10)
    assert (now(), limit.expired) == (129, False)


async def test_the_inner_of_two_scopes_ends_alone() -> None:
    with Deadline(now() + 10) as outer:
        with pytest.raises(TimeoutError), Deadline(now() + 3) as inner:
            await asyncio.sleep(100)
        await asyncio.sleep(5)
    assert (now(), inner.expired, outer.expired) == (8, True, False)


async def test_the_outer_of_two_scopes_ends_both() -> None:
    inner = Deadline(now() + 10)
    with pytest.raises(TimeoutError), Deadline(now() + 3) as outer, inner:
        await asyncio.sleep(100)
    assert (now(), inner.expired, outer.expired) == (3, False, True)


async def test_two_scopes_with_one_moment_both_end() -> None:
    moment = now() + 3
    inner = Deadline(moment)
    with pytest.raises(TimeoutError), Deadline(moment) as outer, inner:
        await asyncio.sleep(100)
    assert inner.expired
    assert outer.expired


async def test_a_cancellation_from_outside_goes_on() -> None:
    async def work() -> None:
        with Deadline(now() + 10):
            await asyncio.sleep(100)

    task = asyncio.create_task(work())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert now() == 1


async def test_a_cancellation_at_the_moment_itself_goes_on() -> None:
    async def work() -> None:
        with Deadline(now() + 10):
            await asyncio.sleep(100)

    task = asyncio.create_task(work())
    asyncio.get_running_loop().call_later(10, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_at_the_moment_is_the_error() -> None:
    with pytest.raises(ValueError, match="own"), Deadline(now() + 1):
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            raise ValueError("own") from None
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_moment_that_has_passed_ends_the_first_wait() -> None:
    await asyncio.sleep(5)
    with pytest.raises(TimeoutError), Deadline(now() - 1):
        await asyncio.sleep(5)
    assert now() == 5


@pytest.mark.parametrize(("moved_to", "ends_at"), [(3, 3), (30, 30)])
async def test_a_deadline_is_moved(moved_to: float, ends_at: float) -> None:
    with pytest.raises(TimeoutError), Deadline(10) as limit:
        await asyncio.sleep(1)
        limit.move(moved_to)
        await asyncio.sleep(100)
    assert now() == ends_at


async def test_a_deadline_is_moved_back_and_forth() -> None:
    with pytest.raises(TimeoutError), Deadline(10) as limit:
        limit.move(3)
        limit.move(20)
        await asyncio.sleep(5)
        limit.move(8)
        limit.move(12)
        await asyncio.sleep(100)
    assert now() == 12


async def test_a_scope_that_was_left_is_not_moved_into_being() -> None:
    with Deadline(10) as limit:
        pass
    limit.move(1)
    await asyncio.sleep(5)
    assert not limit.expired


async def test_a_moment_between_two_ticks_of_the_clock_comes() -> None:
    """The loop's time has nine digits here, and calls what is due within its resolution."""
    await asyncio.sleep(33.105)
    with pytest.raises(TimeoutError), Deadline(33.205000000000004):
        await asyncio.sleep(100)
    with pytest.raises(TimeoutError), Deadline(0.1 + 0.2 + 40) as limit:
        limit.move(33.300000000000004)
        await asyncio.sleep(100)
    assert now() == 33.3


async def test_any_program_of_waits_is_timed_as_by_asyncio() -> None:
    dice = random.Random(7)
    programs = [
        [(dice.choice((0, 1, 2, 3, 5)), dice.choice((0, 1, 2, 4))) for _ in range(dice.randint(1, 4))]
        for _ in range(300)
    ]

    async def run(program: list[tuple[int, int]], by_asyncio: bool) -> list[object]:
        seen: list[object] = []

        async def step(rest: list[tuple[int, int]]) -> None:
            if not rest:
                await asyncio.sleep(3)
                return
            (limit_s, wait_s), *further = rest
            try:
                if by_asyncio:
                    async with asyncio.timeout(limit_s):
                        await asyncio.sleep(wait_s)
                        await step(further)
                else:
                    with Deadline(now() + limit_s):
                        await asyncio.sleep(wait_s)
                        await step(further)
            except TimeoutError:
                seen.append((len(rest), now() - began))
                await asyncio.sleep(1)

        began = now()
        await step(program)
        return [*seen, now() - began]

    for program in programs:
        assert await run(program, by_asyncio=False) == await run(program, by_asyncio=True), program


async def test_many_deadlines_set_few_timers(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, set_timers = asyncio.get_running_loop(), 0
    call_at = loop.call_at

    def counting(when: float, callback: Callable[..., object], *args: object, **more: object) -> object:
        nonlocal set_timers
        set_timers += 1
        return call_at(when, callback, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_at", counting)
    for _ in range(5_000):
        with Deadline(now() + 600), Deadline(now() + 10):
            pass
    assert set_timers < 10


async def test_what_was_left_is_not_kept() -> None:
    class Marked(Deadline):
        __slots__ = ("__weakref__",)

    first = Marked(now() + 600)
    seen = weakref.ref(first)
    with first:
        pass
    del first
    for _ in range(deadlines.LEAST_CLEANED + 1):
        with Deadline(now() + 600):
            pass
    gc.collect()
    assert seen() is None


def test_a_loop_has_its_own() -> None:
    async def wait() -> float:
        with pytest.raises(TimeoutError), Deadline(asyncio.get_running_loop().time() + 0.01):
            await asyncio.sleep(100)
        return 1.0

    assert asyncio.run(wait()) == asyncio.run(wait())
