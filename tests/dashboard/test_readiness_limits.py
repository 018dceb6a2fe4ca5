"""What a check finds is what counts, and not how late the event loop was while it looked."""

import asyncio
from contextlib import suppress

import pytest

from exai.dashboard.readiness import CHECK_TIMEOUT_S, Finding, State, readiness_of
from support.virtual_time import hold_at, now

pytestmark = pytest.mark.virtual_time

KNOWN = Finding(State.DEGRADED, "what was known")


async def hangs() -> Finding | None:
    await asyncio.Event().wait()
    return None


@pytest.mark.parametrize("held_at", [0.0, 0.1, 1.0, 1.45])
@pytest.mark.parametrize("held_s", [0.6, 2.0, 30.0])
async def test_a_check_with_a_limit_of_its_own_tells_what_it_knows(held_at: float, held_s: float) -> None:
    async def known() -> Finding | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(1.5):
                await asyncio.Event().wait()
        return KNOWN

    hold_at(held_at, held_s)
    assert (await readiness_of({"providers": known})).findings == {"providers": KNOWN}


@pytest.mark.parametrize("held_s", [2.0, 30.0])
async def test_an_answer_that_comes_while_the_loop_is_held_is_seen(held_s: float) -> None:
    async def answers() -> Finding | None:
        await asyncio.sleep(0.2)
        await asyncio.sleep(0.2)
        return None

    hold_at(0.1, held_s)
    assert (await readiness_of({"database": answers})).state is State.READY


async def test_what_does_not_answer_is_unready_in_time_whatever_the_others_say() -> None:
    async def well() -> Finding | None:
        return None

    readiness = await readiness_of({"database": hangs, "admitting": well})
    assert now() == pytest.approx(CHECK_TIMEOUT_S)
    assert readiness.verdicts == {"database": "no answer within 2 s", "admitting": "ok"}
    assert readiness.state is State.UNREADY


async def test_a_check_that_runs_out_of_time_itself_has_failed() -> None:
    async def fails() -> Finding | None:
        raise TimeoutError

    assert (await readiness_of({"database": fails})).verdicts == {"database": "failed: TimeoutError"}
