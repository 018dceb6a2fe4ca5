"""Requests of one call that run side by side: each goes as if it were alone, and their call is told the truth."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from exai import config
from exai.callers import Caller, Door
from exai.errors import (
    AnswerBroken,
    Overloaded,
    ProviderFailed,
    ProviderOverloaded,
    ProviderThrottled,
    ProviderTimeout,
)
from exai.events.bus import EventBus
from exai.events.events import BreakerClosed, Event, RetryPlanned
from exai.providers.base import Completion, DeltaKind
from exai.providers.catalog import Model
from exai.providers.search import SearchQuery
from exai.routing.admission import Admission, CallPermits, Permit
from exai.routing.asker import ModelAsker
from exai.routing.breaker import State
from exai.routing.ledger import Stage, Tried
from exai.routing.retry import RetryPolicy
from exai.routing.router import Choice
from support.scripted import asker, asking
from support.timed_provider import Step, TimedEngine, TimedProvider, TimedRouter, model_of, prompt_for
from support.virtual_time import LoopClock

pytestmark = pytest.mark.virtual_time

CALLER = Caller.local(Door.WEBSOCKET)


def listen(_kind: DeltaKind, _text: str) -> None:
    """For requests whose answers the caller follows."""


def now() -> float:
    return asyncio.get_running_loop().time()


class Call:
    """One call in front of providers that take their time. Every wait for a retry takes all of its range."""

    def __init__(self, *providers: TimedProvider, seconds: float = 1_000.0, **settings: Any) -> None:
        self.clock = LoopClock()
        self.events: list[Event] = []
        bus = EventBus()
        bus.watch(self.events.append, Event)
        retry = settings.pop("retry", config.Retry())
        self.asking = replace(
            asking(TimedRouter(*providers), bus=bus, clock=self.clock, **settings),
            retry=RetryPolicy(retry, self.clock, lambda: 1.0),
        )
        self.asker = asker(self.asking, seconds=seconds)

    @property
    def admission(self) -> Admission:
        return self.asking.admission

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[CallPermits]:
        """Hold the call's permits, as the dispatcher does."""
        async with self.admission.caller_permit(CALLER) as own, self.admission.total_permit(CALLER) as total:
            self.asker.terms.permits = CallPermits(self.admission, own, total)
            yield self.asker.terms.permits

    def begin(self, provider: TimedProvider, **more: Any) -> asyncio.Task[Completion]:
        """Begin a request, with a listener."""
        return asyncio.get_running_loop().create_task(self.ask(provider.model, **more))

    async def ask(self, model: Model, ask: ModelAsker | None = None) -> Completion:
        return await (ask or self.asker)(prompt_for(model), listen)

    def outcomes(self) -> dict[str, tuple[str, int]]:
        return {entry.provider: (entry.outcome, entry.attempts) for entry in self.asker.ledger.entries}


async def test_a_request_is_made_again_while_another_of_the_call_streams() -> None:
    streams = TimedProvider("streams", Step(first_s=1, then_s=60))
    breaks = TimedProvider("breaks", Step(ProviderFailed, first_s=5), Step(first_s=2))
    call = Call(streams, breaks)
    await asyncio.gather(call.begin(streams), call.begin(breaks))
    assert call.outcomes() == {"streams": ("ok", 1), "breaks": ("ok", 2)}


async def test_a_request_whose_answer_began_is_not_made_again_though_another_of_the_call_waits() -> None:
    broken = TimedProvider("broken", Step(ProviderFailed, first_s=1, then_s=9, speaks=True))
    waits = TimedProvider("waits", Step(ProviderOverloaded), Step(ProviderOverloaded), Step(first_s=1))
    call = Call(broken, waits)
    ends = await asyncio.gather(call.begin(broken), call.begin(waits), return_exceptions=True)
    assert isinstance(ends[0], ProviderFailed)
    assert call.outcomes() == {"broken": ("provider_failed", 1), "waits": ("ok", 3)}


async def test_a_probe_closes_its_breaker_with_its_first_word_though_another_answer_came_before() -> None:
    streams, sick = (
        TimedProvider("streams", Step(first_s=1, then_s=60)),
        TimedProvider("sick", Step(first_s=3)),
    )
    call = Call(streams, sick, breaker=config.Breaker(consecutive_failures=1, open_s=1))
    breaker = call.asking.breakers.of("sick", sick.model.name)
    with pytest.raises(ProviderFailed), breaker.attempt():
        raise ProviderFailed("x")
    await asyncio.sleep(2)
    assert (breaker.state, breaker.available) == (State.OPEN, True)
    await asyncio.gather(call.begin(streams), call.begin(sick))
    assert [event.model for event in call.events if isinstance(event, BreakerClosed)] == [sick.model.name]


async def test_one_consultation_is_patient_though_another_of_the_call_has_a_model_to_turn_to() -> None:
    busy = Step(ProviderThrottled, asked_wait_s=20)
    patient, quick = TimedProvider("patient", busy), TimedProvider("quick", busy)
    other = TimedProvider("other")
    call = Call(patient, quick, other)

    async def consult(model: Model, *fallbacks: Model) -> Choice:
        choice = Choice(model, model.name, None, fallbacks, "a test")
        return (await call.asker.along(choice, call.ask))[1]

    alone, with_other = await asyncio.gather(consult(patient.model), consult(quick.model, other.model))
    assert (alone.model, with_other.model) == (patient.model, other.model)
    assert call.outcomes() == {"patient": ("ok", 2), "quick": ("provider_throttled", 1), "other": ("ok", 1)}
    assert with_other.reason == (
        "quick/m (provider_throttled) could not answer; other/m took over, as a test allows."
    )


async def test_an_answer_that_a_caller_saw_begin_keeps_others_from_taking_over_in_its_own_turn_alone() -> (
    None
):
    seen = TimedProvider("seen", Step(AnswerBroken, first_s=1, then_s=1, speaks=True))
    unseen = TimedProvider("unseen", Step(ProviderTimeout, first_s=5), Step(ProviderTimeout))
    other = TimedProvider("other")
    call = Call(seen, unseen, other, retry=config.Retry(max_retries=1))

    async def consult(model: Model) -> Completion:
        choice = Choice(model, model.name, None, (other.model,), "a test")
        return (await call.asker.along(choice, call.ask))[0]

    ends = await asyncio.gather(consult(seen.model), consult(unseen.model), return_exceptions=True)
    assert isinstance(ends[0], AnswerBroken)
    assert isinstance(ends[1], Completion)
    assert call.asker.ledger.tried == (
        Tried("seen/m", "seen", "answer_broken", 1),
        Tried("unseen/m", "unseen", "provider_timeout", 2),
        Tried("other/m", "other", "ok", 1),
    )


async def test_a_part_of_a_call_has_its_own_bill() -> None:
    one, other = TimedProvider("one"), TimedProvider("other", Step(ProviderFailed, billed=True), Step())
    call = Call(one, other)
    parts = [call.asker.branch(), call.asker.branch()]
    await asyncio.gather(call.ask(one.model, parts[0]), call.ask(other.model, parts[1]))
    each = one.model.cost(one.reported).usd
    assert each is not None
    assert [part.ledger.bill.cost.usd for part in parts] == [each, 2 * each]
    assert call.asker.ledger.bill.cost.usd == pytest.approx(3 * each)


async def test_the_stages_of_a_call_add_up_to_its_latency_and_each_request_has_its_own() -> None:
    one = TimedProvider("one", Step(first_s=2, then_s=8))
    other = TimedProvider("other", Step(ProviderOverloaded, first_s=1), Step(first_s=3, then_s=3))
    call = Call(one, other)
    began = now()
    await asyncio.gather(call.begin(one), call.begin(other))
    assert now() - began == 10
    assert call.asker.ledger.timings(began, now()) == {
        "provider_sem_wait_ms": 0.0,
        "connect_ms": 0.0,
        "failed_requests_ms": 0.0,
        "backoff_ms": 0.0,
        "first_token_ms": 2_000.0,
        "generation_ms": 8_000.0,
        "processing_ms": 0.0,
        "latency_ms": 10_000.0,
    }
    first, second = call.asker.ledger.records()
    assert first.timings["first_token_ms"] == 2_000.0
    assert first.timings["generation_ms"] == 8_000.0
    assert {stage: ms for stage, ms in second.timings.items() if ms} == {
        "failed_requests_ms": 1_000.0,
        "backoff_ms": 2_000.0,
        "first_token_ms": 3_000.0,
        "generation_ms": 3_000.0,
    }


async def test_searches_side_by_side_are_entries_of_their_own() -> None:
    call = Call()
    query = SearchQuery("owls")
    engines = TimedEngine("a", Step(ProviderFailed), Step(first_s=2)), TimedEngine("b", Step(first_s=3))
    with call.asker.ledger.stage(Stage.TOOLS):
        await asyncio.gather(*(call.asker.search(engine, query) for engine in engines))
    assert call.outcomes() == {"a": ("ok", 2), "b": ("ok", 1)}
    assert call.asker.ledger.bill.cost.usd == 0.02
    assert call.asker.ledger.timings(0.0, now())["tools_ms"] == 3_000.0
    assert call.asker.ledger.tried == ()


async def test_a_call_holds_its_permits_while_any_of_its_requests_works() -> None:
    works = TimedProvider("works", Step(first_s=2))
    waits = TimedProvider(
        "waits", Step(ProviderOverloaded, first_s=1), Step(ProviderOverloaded), Step(first_s=3)
    )
    call = Call(works, waits)
    in_use = []
    async with call.admitted():
        tasks = call.begin(works), call.begin(waits)
        for _ in range(11):
            await asyncio.sleep(0.5)
            in_use.append(call.admission.total.in_use)
            await asyncio.sleep(0.5)
        await asyncio.gather(*tasks)
    # One works to 2. The other works to 1, waits to 3, fails at once, waits to 7, and works to 10.
    assert in_use == [1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1]
    assert call.outcomes() == {"works": ("ok", 1), "waits": ("ok", 3)}
    assert (call.admission.total.in_use, call.admission.callers) == (0, 0)


async def test_the_first_that_goes_to_work_takes_the_permits_again_for_all() -> None:
    providers = [TimedProvider(name, Step(ProviderOverloaded), Step(first_s=9)) for name in "abc"]
    call = Call(*providers)
    async with call.admitted():
        tasks = [call.begin(provider) for provider in providers]
        await asyncio.sleep(1)
        assert call.admission.total.in_use == 0
        await asyncio.sleep(3)
        assert [provider.at_work for provider in providers] == [1, 1, 1]
        assert call.admission.total.in_use == 1
        await asyncio.gather(*tasks)
        assert (call.admission.total.in_use, call.admission.total.most_in_use) == (1, 1)
    assert call.admission.total.in_use == 0


@asynccontextmanager
async def everything_taken(call: Call, seconds: float) -> AsyncIterator[None]:
    """Another caller takes the one permit for all calls as soon as it can, and holds it for so long."""

    async def take() -> None:
        async with call.admission.total_permit(Caller("other", Door.HTTP)):
            await asyncio.sleep(seconds)

    task = asyncio.get_running_loop().create_task(take())
    yield
    await task


ONE = config.Admission(global_limit=1)


async def test_requests_that_want_the_permits_back_at_once_wait_for_one_taking() -> None:
    providers = [TimedProvider(name, Step(ProviderOverloaded), Step(first_s=2)) for name in "abc"]
    call = Call(*providers, limits=ONE)
    async with call.admitted(), everything_taken(call, 12):
        tasks = [call.begin(provider) for provider in providers]
        await asyncio.sleep(5)
        assert call.admission.total.waiting == 1
        assert [provider.at_work for provider in providers] == [0, 0, 0]
        await asyncio.gather(*tasks)
        assert now() == 14
        assert call.admission.total.in_use == 1
    assert {entry.stages[Stage.PROVIDER_WAIT] for entry in call.asker.ledger.entries} == {10.0}


async def test_when_the_one_that_retakes_is_cancelled_another_goes_on() -> None:
    providers = [TimedProvider(name, Step(ProviderOverloaded), Step(first_s=2)) for name in "ab"]
    call = Call(*providers, limits=ONE)
    async with call.admitted(), everything_taken(call, 12):
        first, second = (call.begin(provider) for provider in providers)
        await asyncio.sleep(5)
        first.cancel()
        await second
        assert now() == 14
    assert call.outcomes() == {"a": ("cancelled", 1), "b": ("ok", 2)}
    assert [gate.in_use for gate in call.admission.by_model.values()] == [0, 0]
    assert (call.admission.total.in_use, call.admission.total.waiting) == (0, 0)


async def test_when_the_permits_do_not_come_back_every_request_that_wants_them_ends_in_time() -> None:
    providers = [TimedProvider(name, Step(ProviderOverloaded), Step(first_s=2)) for name in "abc"]
    call = Call(*providers, limits=config.Admission(global_limit=1, max_wait_s=7))
    async with call.admitted(), everything_taken(call, 50):
        tasks = [call.begin(provider) for provider in providers]
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(end) for end in ends] == [Overloaded] * 3
        assert now() <= 2 + 2 * 7
    assert [gate.in_use for gate in call.admission.by_model.values()] == [0, 0, 0]
    assert (call.admission.total.in_use, call.admission.callers) == (0, 0)


async def test_the_waits_for_permits_before_all_attempts_of_a_request_are_one_wait() -> None:
    provider = TimedProvider("a", Step(ProviderOverloaded), Step())
    call = Call(provider, limits=config.Admission(model_limit=1, max_wait_s=7))

    def permit_of_another() -> Permit:
        return call.admission.model_permit(Caller("other", Door.HTTP), "a", provider.model.name)

    async with call.admitted():
        async with permit_of_another():
            task = call.begin(provider)
            await asyncio.sleep(5)
        await asyncio.sleep(1)  # the attempt has failed, and the next one is due at 7
        async with permit_of_another():
            with pytest.raises(Overloaded):
                await task
            assert now() == 7 + (7 - 5)
    assert call.outcomes() == {"a": ("overloaded", 1)}


async def test_each_request_in_turn_may_wait_for_a_permit() -> None:
    provider = TimedProvider("a", Step(first_s=1), Step(first_s=1))
    call = Call(provider, limits=config.Admission(model_limit=1, max_wait_s=7))
    async with call.admitted():
        for _ in range(2):
            async with call.admission.model_permit(CALLER, "a", provider.model.name):
                task = call.begin(provider)
                await asyncio.sleep(6)
            await task
    assert now() == 14
    assert call.outcomes() == {"a": ("ok", 1)}


async def test_after_a_wait_that_failed_the_next_request_takes_the_permits_again() -> None:
    full = TimedProvider("full", models=[model_of("full")])
    good = TimedProvider("good", Step(first_s=5))
    call = Call(full, good, limits=config.Admission(model_limit=1, max_wait_s=2))
    async with call.admitted(), call.admission.model_permit(CALLER, "full", full.model.name):
        with pytest.raises(Overloaded):
            await call.ask(full.model)
        assert call.admission.total.in_use == 0
        task = call.begin(good)
        await asyncio.sleep(1)
        assert call.admission.total.in_use == 1
        await task


async def test_a_request_that_outlives_its_call_keeps_no_permit() -> None:
    provider = TimedProvider("a", Step(ProviderOverloaded), Step(first_s=5))
    call = Call(provider)
    async with call.admitted():
        task = call.begin(provider)
        await asyncio.sleep(1)
    with pytest.raises(RuntimeError, match="after its scope was left"):
        await task
    assert (call.admission.total.in_use, call.admission.callers) == (0, 0)
    assert [gate.in_use for gate in call.admission.by_model.values()] == [0]


async def test_a_retry_event_names_its_own_model() -> None:
    a, b = (
        TimedProvider("a", Step(ProviderOverloaded), Step()),
        TimedProvider("b", Step(ProviderFailed), Step()),
    )
    call = Call(a, b)
    await asyncio.gather(call.begin(a), call.begin(b))
    planned = [event for event in call.events if isinstance(event, RetryPlanned)]
    assert {(event.model, event.cause, event.wait_s) for event in planned} == {
        ("a/m", "provider_overloaded", 2.0),
        ("b/m", "provider_failed", 0.25),
    }
