"""Whether providers can answer, as whoever asks for the readiness learns it: in time, and for nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from exai import config
from exai.app.duties import readiness_duties
from exai.errors import (
    ProviderDenied,
    ProviderFault,
    ProviderOverloaded,
    ProviderThrottled,
    ProviderUnauthorized,
    ProviderUnreachable,
)
from exai.events.bus import EventBus
from exai.events.events import ProviderCallEnded
from exai.providers.base import Reached
from exai.routing.breaker import Breakers
from exai.routing.reachability import FRESH_S, WAIT_S, WITHIN_S, Reachability, Trouble
from exai.runtime.periodic import Scheduler
from support.virtual_time import LoopClock, hold_at, now
from support.waiting import wait_until

pytestmark = pytest.mark.virtual_time

REFUSED = ProviderUnauthorized("GLM does not accept the key (1000). Check GLM_API_KEY.")


class Listed:
    """A provider that lists its models, or fails to."""

    def __init__(self, *models: str, configured: bool = True) -> None:
        self.configured = configured
        self.models = dict.fromkeys(models or ("glm-5.3", "glm-5.2"))
        self.fault: ProviderFault | None = None
        self.takes_s = 0.1
        self.asked = 0

    async def reach(self, *, within_s: float) -> Reached:
        self.asked += 1
        try:
            async with asyncio.timeout(within_s):
                await asyncio.sleep(self.takes_s)
        except TimeoutError:
            raise ProviderUnreachable("GLM did not answer in time. Try again later.") from None
        if self.fault is not None:
            raise self.fault
        return Reached(lists_models=True, ahead_s=None)


class Watched:
    """Providers, their breakers, and the reachability of both."""

    def __init__(self, *, has_kimi: bool = False) -> None:
        clock = LoopClock()
        self.bus = EventBus()
        self.glm = Listed()
        self.kimi = Listed("kimi-k3", configured=has_kimi)
        self.breakers = Breakers(config.Breaker(), clock, self.bus.publish)
        providers: dict[str, Any] = {"glm": self.glm, "kimi": self.kimi}
        self.reachability = Reachability(providers, self.breakers, clock)
        self.reachability.watch(self.bus)
        self.scheduler = Scheduler(clock)

    def answered(self) -> None:
        self.bus.publish(ProviderCallEnded("glm", "glm-5.3", "ok", 1.0))

    def fail(self, *models: str) -> None:
        for model in models:
            for _ in range(5):
                self.breakers.of("glm", model).ended_with(ProviderOverloaded("busy"))


@asynccontextmanager
async def refreshed(there: Watched) -> AsyncIterator[Watched]:
    async with there.scheduler.running(*readiness_duties(there.reachability)):
        yield there


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    async with refreshed(Watched()) as there:
        yield there


@pytest.fixture
async def both() -> AsyncIterator[Watched]:
    """Both providers have keys, and were asked a while ago."""
    async with refreshed(Watched(has_kimi=True)) as there:
        assert await there.reachability.troubles() == []
        await asyncio.sleep(60.0)
        yield there


async def test_nobody_looks_and_nothing_is_asked(watched: Watched) -> None:
    await asyncio.sleep(3600)
    assert watched.glm.asked == 0


async def test_a_key_that_is_refused_shows_to_the_first_who_asks(watched: Watched) -> None:
    watched.glm.fault = REFUSED
    reason = "glm: GLM does not accept the key (1000)"
    assert await watched.reachability.troubles() == [Trouble("glm", reason, can_answer=False)]


async def test_a_key_that_is_withdrawn_or_given_back_shows_within_ten_seconds(watched: Watched) -> None:
    for fault in (None, REFUSED, None):
        watched.glm.fault = fault
        changed = now()

        async def shows(is_refused: bool = fault is not None) -> bool:
            return bool(await watched.reachability.troubles()) is is_refused

        await wait_until(shows, what="the change shows")
        assert now() - changed < 10.0


async def test_a_provider_that_hangs_holds_up_nobody_and_shows_within_ten_seconds(watched: Watched) -> None:
    assert await watched.reachability.troubles() == []
    watched.glm.takes_s = 60.0
    changed = now()

    async def shows() -> bool:
        began = now()
        troubles = await watched.reachability.troubles()
        assert now() - began <= WAIT_S
        return bool(troubles)

    await wait_until(shows, what="the silence shows")
    assert now() - changed < 10.0


async def test_calls_that_are_answered_are_proof_enough(watched: Watched) -> None:
    watched.glm.takes_s = 60.0
    for _ in range(3600):
        watched.answered()
        assert await watched.reachability.troubles() == []
        await asyncio.sleep(1.0)
    assert watched.glm.asked == 0


async def test_many_who_look_ask_no_oftener_than_a_proof_lasts(watched: Watched) -> None:
    for _ in range(600):
        await asyncio.gather(*(watched.reachability.troubles() for _ in range(5)))
        await asyncio.sleep(0.1)
    assert watched.glm.asked <= 60 / FRESH_S + 1


@pytest.mark.parametrize("says_nothing", [ProviderThrottled, ProviderDenied])
async def test_a_list_that_is_denied_says_nothing_of_answers(
    watched: Watched, says_nothing: type[ProviderFault]
) -> None:
    watched.glm.fault = says_nothing("GLM does not list. Try again.")
    assert await watched.reachability.troubles() == []


async def test_a_breaker_that_is_open_shows_until_it_is_due(watched: Watched) -> None:
    watched.fail("glm-5.3")
    (trouble,) = await watched.reachability.troubles()
    assert trouble.can_answer
    assert trouble.reason.startswith("glm: glm-5.3 is not asked for ")
    assert "provider_overloaded" in trouble.reason
    watched.fail("glm-5.2")
    (trouble,) = await watched.reachability.troubles()
    assert not trouble.can_answer
    await asyncio.sleep(12.0)
    assert await watched.reachability.troubles() == []


async def test_nobody_waits_for_one_provider_while_another_answers_calls(both: Watched) -> None:
    both.kimi.takes_s = 60.0
    for _ in range(20):
        both.answered()
        began = now()
        await both.reachability.troubles()
        assert now() == began
        await asyncio.sleep(1.0)
    (trouble,) = await both.reachability.troubles()
    assert (trouble.provider, trouble.can_answer) == ("kimi", False)
    assert "did not come within 4 s" in trouble.reason


async def test_a_key_that_is_refused_shows_within_ten_seconds_while_another_answers_calls(
    both: Watched,
) -> None:
    both.kimi.fault = REFUSED
    changed = now()

    async def shows() -> bool:
        both.answered()
        return bool(await both.reachability.troubles())

    await wait_until(shows, what="the refusal shows")
    assert now() - changed < 10.0


async def test_a_provider_that_was_never_asked_is_waited_for() -> None:
    async with refreshed(Watched(has_kimi=True)) as there:
        there.kimi.fault = REFUSED
        there.answered()
        (trouble,) = await there.reachability.troubles()
        assert trouble.provider == "kimi"


async def test_a_provider_that_answers_calls_does_so_whatever_becomes_of_its_list(watched: Watched) -> None:
    watched.glm.takes_s = 60.0
    await watched.reachability.troubles()
    await asyncio.sleep(1.0)
    watched.answered()
    await asyncio.sleep(WITHIN_S + FRESH_S)
    assert await watched.reachability.troubles() == []


@pytest.mark.parametrize("held_s", [WAIT_S, WITHIN_S, 7.0])
async def test_a_list_that_comes_late_as_the_loop_was_held_is_an_answer(
    watched: Watched, held_s: float
) -> None:
    watched.glm.takes_s = 1.0
    hold_at(0.5, held_s)
    assert await watched.reachability.troubles() == []
    await asyncio.sleep(held_s + 1.0)
    assert await watched.reachability.troubles() == []
