"""Asking models: retries, the breaker and the next model, on a provider that answers from a script."""

import asyncio
from typing import Any

import msgspec
import pytest

from exai import config
from exai.callers import Caller, Door
from exai.errors import (
    CircuitOpen,
    ContextOverflow,
    DeadlineExceeded,
    Overloaded,
    ProviderFailed,
    ProviderOverloaded,
    ProviderRefused,
    ToolFault,
)
from exai.events.bus import EventBus
from exai.events.events import Event, FellBack, ProviderCallEnded, RetryPlanned, RetryRefused
from exai.messages import Message, Role
from exai.providers.base import Charges, DeltaKind, OnDelta, Prompt, ToolSpec
from exai.providers.catalog import Model
from exai.routing.admission import CallPermits
from exai.routing.asker import ModelAsker
from exai.routing.breaker import State
from exai.routing.request import Asking
from exai.routing.router import Choice
from support.scripted import MODEL, ScriptedProvider, ScriptedRouter, asker, asking
from support.virtual_time import LoopClock, now

pytestmark = pytest.mark.virtual_time

CALLER = Caller.local(Door.WEBSOCKET)
OTHER = Model(
    name="scripted-2", provider="scripted", wire_name="scripted-2", context_tokens=500, max_output_tokens=100
)


class Desk:
    """One call's asker, and all that is said meanwhile."""

    def __init__(
        self, *steps: Any, provider: ScriptedProvider | None = None, seconds: float = 30.0, **settings: Any
    ) -> None:
        self.provider = provider or ScriptedProvider(*steps)
        self.events: list[Event] = []
        bus = EventBus()
        bus.watch(self.events.append, Event)
        settings.setdefault("retry", config.Retry())
        self.asking: Asking = asking(ScriptedRouter(self.provider), bus=bus, clock=LoopClock(), **settings)
        self.asker: ModelAsker = asker(self.asking, seconds=seconds)

    async def ask(
        self, model: Model = MODEL, ask: ModelAsker | None = None, on_delta: OnDelta | None = None
    ) -> str:
        prompt = Prompt(model=model, messages=(Message(Role.USER, "hello"),))
        return (await (ask or self.asker)(prompt, on_delta)).text

    def timings(self) -> dict[str, float]:
        """Of the call, until now."""
        ledger = self.asker.ledger
        return ledger.timings(ledger.entries[0].began, self.asking.clock.monotonic())

    def said(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    @property
    def gates(self) -> list[int]:
        admission = self.asking.admission
        return [gate.in_use for gate in (*admission.by_model.values(), *admission.by_provider.values())]


async def test_a_transient_failure_is_retried_and_reported() -> None:
    desk = Desk(ProviderOverloaded("x"), ProviderFailed("x"), "answer")
    assert await desk.ask() == "answer"
    assert desk.said() == [
        *["ProviderCallEnded", "RetryPlanned"] * 2,
        "ProviderCallEnded",
        "RequestRecovered",
    ]
    assert [event.outcome for event in desk.events if isinstance(event, ProviderCallEnded)] == [
        "provider_overloaded",
        "provider_failed",
        "ok",
    ]
    (tried,) = desk.asker.ledger.tried
    assert (tried.model, tried.outcome, tried.requests) == ("scripted-1", "ok", 3)
    waits = [event.wait_s for event in desk.events if isinstance(event, RetryPlanned)]
    assert now() == pytest.approx(sum(waits), abs=0.01), "the event says it in milliseconds"
    assert desk.timings()["backoff_ms"] == pytest.approx(1_000 * now())
    assert desk.timings()["failed_requests_ms"] == 0
    assert desk.gates == [0, 0]


async def test_what_began_is_not_asked_again_though_its_failure_passes() -> None:
    desk = Desk()
    heard: list[str] = []

    async def begin_and_fail(
        prompt: Prompt,
        *,
        deadline: float,
        on_delta: OnDelta | None = None,
        charges: Charges | None = None,
    ) -> Any:
        desk.provider.asked.append(prompt)
        assert on_delta is not None
        on_delta(DeltaKind.REASONING, "well, ")
        raise ProviderFailed("x")

    desk.provider.complete = begin_and_fail  # type: ignore[method-assign]
    choice = Choice(MODEL, MODEL.name, None, (OTHER,), "a test")
    with pytest.raises(ProviderFailed):
        await desk.asker.along(
            choice, lambda model, ask: desk.ask(model, ask, lambda _, text: heard.append(text))
        )
    assert (len(desk.provider.asked), heard) == (1, ["well, "])
    assert desk.timings().keys() >= {"generation_ms"}


async def test_the_last_failure_says_why_no_further_request_was_made() -> None:
    desk = Desk(*[ProviderFailed("x")] * 3)
    with pytest.raises(ProviderFailed):
        await desk.ask()
    assert [event.reason for event in desk.events if isinstance(event, RetryRefused)] == ["spent"]
    assert len(desk.provider.asked) == 3


async def test_a_breaker_that_opens_meanwhile_ends_the_retries() -> None:
    desk = Desk(*[ProviderFailed("x")] * 9, breaker=config.Breaker(consecutive_failures=2))
    with pytest.raises(ProviderFailed):
        await desk.ask()
    assert [event.reason for event in desk.events if isinstance(event, RetryRefused)] == ["breaker"]
    with pytest.raises(CircuitOpen):
        await desk.ask()
    assert len(desk.provider.asked) == 2


async def test_cancelling_a_wait_leaves_nothing_behind() -> None:
    desk = Desk(
        ProviderOverloaded("x"), retry=config.Retry(overload_backoff_s=1000, max_backoff_s=1000), seconds=9e9
    )
    loop = asyncio.get_running_loop()
    async with (
        desk.asking.admission.caller_permit(CALLER) as own,
        desk.asking.admission.total_permit(CALLER) as total,
    ):
        desk.asker.terms.permits = CallPermits(desk.asking.admission, own, total)
        task = loop.create_task(desk.ask())
        await asyncio.sleep(1)
        assert "RetryPlanned" in desk.said()
        assert desk.asking.admission.total.in_use == 0
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    assert (desk.gates, desk.asking.admission.total.in_use, desk.asking.admission.callers) == ([0, 0], 0, 0)


async def test_a_call_whose_time_is_over_blames_nobody() -> None:
    desk = Desk(seconds=0.0, breaker=config.Breaker(consecutive_failures=1))
    with pytest.raises(DeadlineExceeded):
        await desk.ask()
    assert desk.provider.asked == []
    (breaker,) = desk.asking.breakers
    assert breaker.state is State.CLOSED


async def test_a_wait_for_a_permit_that_never_came_is_in_the_ledger() -> None:
    desk = Desk(limits=config.Admission(model_limit=1, max_wait_s=7))
    async with desk.asking.admission.model_permit(CALLER, MODEL.provider, MODEL.name):
        with pytest.raises(Overloaded):
            await desk.ask()
    (entry,) = desk.asker.ledger.entries
    assert (entry.attempts, entry.outcome) == (0, "overloaded")
    assert desk.timings()["provider_sem_wait_ms"] == 7_000
    assert desk.provider.asked == []


async def along(desk: Desk, *names: str) -> tuple[str, Choice]:
    models = {"scripted-1": MODEL, "scripted-2": OTHER}
    first, *others = [models[name] for name in names]
    return await desk.asker.along(Choice(first, first.name, None, tuple(others), "a test"), desk.ask)


async def test_the_next_model_takes_over_and_the_choice_says_why() -> None:
    desk = Desk(*[ProviderFailed("x")] * 3, "answer")
    text, choice = await along(desk, "scripted-1", "scripted-2")
    assert (text, choice.model.name, choice.model_requested) == ("answer", "scripted-2", "scripted-1")
    assert choice.reason == (
        "scripted-1 (provider_failed) could not answer; scripted-2 took over, as a test allows."
    )
    assert [each.requests for each in desk.asker.ledger.tried] == [3, 1]
    (fell_back,) = [event for event in desk.events if isinstance(event, FellBack)]
    assert (fell_back.from_model, fell_back.to_model, fell_back.cause) == (
        "scripted-1",
        "scripted-2",
        "provider_failed",
    )


async def test_nobody_waits_long_for_a_model_while_another_may_take_over() -> None:
    desk = Desk(ProviderOverloaded("x", retry_after_s=20.0), "answer")
    _, choice = await along(desk, "scripted-1", "scripted-2")
    assert choice.model is OTHER
    assert [event.reason for event in desk.events if isinstance(event, RetryRefused)] == ["long_wait"]


@pytest.mark.parametrize(
    ("steps", "raised"),
    [
        ([ProviderOverloaded("first"), ProviderFailed("second")], "first"),
        ([ProviderOverloaded("first"), ProviderRefused("second")], "second"),
        ([ContextOverflow("first"), "never asked"], "first"),
    ],
)
async def test_when_nobody_can_the_error_is_the_first_models_unless_a_later_one_ends_the_call(
    steps: list[Any], raised: str
) -> None:
    desk = Desk(*steps, retry=config.Retry(max_retries=0))
    with pytest.raises(ToolFault, match=raised):
        await along(desk, "scripted-1", "scripted-2")


async def test_a_model_that_could_not_even_be_asked_is_among_the_tried() -> None:
    desk = Desk("answer")

    async def answered(model: Model, ask: ModelAsker) -> str:
        if model is OTHER:
            raise ContextOverflow("too large")
        return await desk.ask(model, ask)

    text, choice = await desk.asker.along(Choice(OTHER, "scripted-2", None, (MODEL,), "a test"), answered)
    assert (text, choice.model) == ("answer", MODEL)
    assert [(each.outcome, each.requests) for each in desk.asker.ledger.tried] == [
        ("context_overflow", 0),
        ("ok", 1),
    ]


class Counter(ScriptedProvider):
    """Has a counter of tokens, which takes two seconds."""

    counted: int | ProviderFailed = 42

    def counts_tokens(self, prompt: Prompt) -> bool:
        return not prompt.tools

    async def count_tokens(self, prompt: Prompt, *, deadline: float, charges: Charges | None = None) -> int:
        if charges is not None:
            charges.leave()
        assert self.counts_tokens(prompt)
        async with asyncio.timeout_at(deadline):
            await asyncio.sleep(2)
        if isinstance(self.counted, ProviderFailed):
            raise self.counted
        return self.counted


@pytest.mark.parametrize(
    ("counted", "count", "outcome"), [(42, 42, "ok"), (ProviderFailed("x"), None, "provider_failed")]
)
async def test_counting_a_prompt_is_an_entry_and_no_turn(
    counted: int | ProviderFailed, count: int | None, outcome: str
) -> None:
    provider = Counter()
    provider.counted = counted
    desk = Desk(provider=provider)
    prompt = Prompt(model=MODEL, messages=(Message(Role.USER, "hello"),))
    assert await desk.asker.count_tokens(prompt) == count
    (entry,) = desk.asker.ledger.entries
    assert (entry.purpose, entry.attempts, entry.outcome) == ("count", 1, outcome)
    assert desk.timings()["first_token_ms"] == 2_000
    assert desk.asker.ledger.tried == ()
    assert (
        await desk.asker.count_tokens(msgspec.structs.replace(prompt, tools=(ToolSpec("f", "", {}),))) is None
    )
    assert len(desk.asker.ledger.entries) == 1
