"""Whatever happens to requests that run side by side in one call: each of them, its permits, breaker, retry budget and
bill are as if it had been alone."""

import asyncio
import random
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exai import config, errors
from exai.callers import Caller, Door
from exai.costs import Cost, Usage
from exai.errors import ProviderFailed, ProviderFault, ToolFault
from exai.events.bus import EventBus
from exai.events.events import BreakerClosed, BreakerOpened, BreakerProbed, Event, ProviderCallEnded
from exai.providers.base import DeltaKind
from exai.routing.admission import Admission, CallPermits, Permit
from exai.routing.asker import ModelAsker
from exai.routing.faults import FAULTS
from exai.routing.ledger import Entry
from exai.routing.request import Asking
from exai.routing.retry import RetryPolicy
from support.scripted import UNSENT, asking
from support.timed_provider import Step, TimedProvider, TimedRouter, model_of, prompt_for
from support.virtual_time import LoopClock, VirtualTimeLoop

T = TypeVar("T")

PROVIDER_FAULTS = sorted(
    (kind for kind in FAULTS if issubclass(kind, ProviderFault) and kind not in UNSENT),
    key=lambda kind: kind.__name__,
)
OTHER_ENDS: list[type[Exception]] = [
    errors.AbilityMissing,
    errors.ProviderUnconfigured,
    errors.Stopping,
    KeyError,
]

DEADLINE_S = 60.0
PROBED_AT_S = 2.0


@dataclass(frozen=True)
class Fate:
    """All that is to happen to one request."""

    steps: tuple[Step, ...]
    listens: bool
    begins_s: float
    cancelled_s: float | None
    """After its beginning."""
    probes: bool
    """Whether its breaker is open before it begins, and due for a probe."""


seconds = st.integers(0, 24).map(lambda quarters: quarters / 4)
steps = st.builds(
    Step,
    fails=st.none() | st.sampled_from([*PROVIDER_FAULTS, *OTHER_ENDS]),
    first_s=seconds | st.just(DEADLINE_S * 2),
    then_s=seconds,
    speaks=st.booleans(),
    billed=st.booleans(),
    asked_wait_s=st.none() | st.integers(0, 20).map(float),
)
fates = st.builds(
    Fate,
    steps=st.lists(steps, max_size=6).map(tuple),
    listens=st.booleans(),
    begins_s=seconds,
    cancelled_s=st.none() | seconds,
    probes=st.booleans(),
)


@dataclass
class Seen:
    """What can be seen of one request afterwards."""

    error: str | None
    attempts: int
    outcome: str
    usage: Usage | None
    cost: Cost
    stages: dict[str, float]
    began: float
    ended: float | None
    caller_saw_output: bool
    breaker: tuple[str, str | None]
    budget: float
    permits: list[int]
    events: list[Event] = field(default_factory=list)


class Stage:
    """One asker, and a provider of its own for each request."""

    def __init__(self, fates: Sequence[Fate], clock: LoopClock) -> None:
        self.providers = [TimedProvider(f"p{number}", *fate.steps) for number, fate in enumerate(fates)]
        self.events: list[Event] = []
        bus = EventBus()
        bus.watch(self.events.append, Event)
        breaker = config.Breaker(consecutive_failures=2, open_s=1)
        self.asking = replace(
            asking(TimedRouter(*self.providers), bus=bus, clock=clock, breaker=breaker),
            retry=RetryPolicy(config.Retry(budget_reserve=2, budget_share=0.5), clock, lambda: 0.5),
        )
        self.asker = ModelAsker.for_call(self.asking, Caller.local(Door.HTTP), DEADLINE_S)
        for provider, fate in zip(self.providers, fates, strict=True):
            if fate.probes:
                self._open_breaker(provider)

    def _open_breaker(self, provider: TimedProvider) -> None:
        breaker = self.asking.breakers.of(provider.name, provider.model.name)
        for _ in range(2):
            with pytest.raises(ProviderFailed), breaker.attempt():
                raise ProviderFailed("x")

    async def play(self, number: int, fate: Fate) -> str | None:
        """Let one request happen; the name of the error that it ended with."""
        await asyncio.sleep(PROBED_AT_S + fate.begins_s)
        provider = self.providers[number]

        def listen(_kind: DeltaKind, _text: str) -> None:
            return

        task = asyncio.ensure_future(self.asker(prompt_for(provider.model), listen if fate.listens else None))
        if fate.cancelled_s is not None:
            asyncio.get_running_loop().call_later(fate.cancelled_s, task.cancel)
        await asyncio.wait([task])
        if task.cancelled():
            return "CancelledError"
        error = task.exception()
        return None if error is None else type(error).__name__

    def seen(self, number: int, error: str | None) -> Seen:
        """What became of the request."""
        name = self.providers[number].name
        (entry,) = [entry for entry in self.asker.ledger.entries if entry.provider == name]
        breaker = self.asking.breakers.of(name, entry.model)
        events: list[Any] = [event for event in self.events if getattr(event, "provider", None) == name]
        return Seen(
            error=error,
            attempts=entry.attempts,
            outcome=entry.outcome,
            usage=entry.bill.usage,
            cost=entry.bill.cost,
            stages={stage: round(seconds, 6) for stage, seconds in entry.stages.items()},
            began=entry.began,
            ended=entry.ended,
            caller_saw_output=entry.caller_saw_output,
            breaker=(breaker.state, breaker.cause),
            budget=self.asking.retry.budget(name)._in_hand,
            permits=[gate.in_use for gate in self._gates(entry)],
            events=[_without_chance(event) for event in events],
        )

    def _gates(self, entry: Entry) -> list[Any]:
        admission = self.asking.admission
        gates = [
            admission.by_provider.get(entry.provider),
            admission.by_model.get((entry.provider, entry.model)),
        ]
        return [gate for gate in gates if gate is not None]


def _without_chance(event: Event) -> Any:
    """The event without the jitter of a breaker, which is drawn anew each time."""
    if isinstance(event, BreakerOpened):
        return (event.model, event.cause, event.again)
    if isinstance(event, BreakerProbed | BreakerClosed):
        return (type(event).__name__, event.model)
    if isinstance(event, ProviderCallEnded):
        return replace_seconds(event)
    return event


def replace_seconds(event: ProviderCallEnded) -> Any:
    return (event.model, event.outcome, round(event.seconds, 6), event.counts_for_health)


def in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)


async def play_together(fates: Sequence[Fate]) -> list[Seen]:
    stage = Stage(fates, LoopClock())
    ends = await asyncio.gather(*(stage.play(number, fate) for number, fate in enumerate(fates)))
    seen = [stage.seen(number, end) for number, end in enumerate(ends)]
    latency = asyncio.get_running_loop().time()
    timings = stage.asker.ledger.timings(0.0, latency)
    assert sum(timings.values()) == pytest.approx(2 * latency * 1000, abs=0.02)
    assert min(timings.values()) >= 0.0
    assert stage.asker.ledger.bill.usage == _sum_of([each.usage for each in seen])
    return seen


async def play_alone(fate: Fate) -> Seen:
    stage = Stage([fate], LoopClock())
    return stage.seen(0, await stage.play(0, fate))


def _sum_of(usages: Sequence[Usage | None]) -> Usage | None:
    known = [usage for usage in usages if usage is not None]
    return sum(known[1:], known[0]) if known else None


def _as_if_first(seen: Seen, number: int) -> str:
    return repr(seen).replace(f"p{number}", "p0")


@settings(max_examples=100, derandomize=True)
@given(st.lists(fates, min_size=2, max_size=4))
def test_every_request_of_a_call_is_as_if_it_were_alone(drawn: list[Fate]) -> None:
    together = in_virtual_time(play_together(drawn))
    for number, fate in enumerate(drawn):
        alone = in_virtual_time(play_alone(fate))
        assert _as_if_first(together[number], number) == _as_if_first(alone, 0)
        assert alone.permits == [0] * len(alone.permits)


class Crowd:
    """Many calls of few callers, each with requests side by side, in front of few models."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        clock = LoopClock()
        models = {name: [model_of(name, model) for model in "xy"] for name in ("p", "q")}
        self.providers = [TimedProvider(name, models=models[name]) for name in models]
        limits = config.Admission(
            global_limit=6, caller_limit=3, provider_limit=4, model_limit=3, max_queue=80, max_wait_s=9
        )
        self.asking: Asking = replace(
            asking(
                TimedRouter(*self.providers), clock=clock, limits=limits, breaker=config.Breaker(open_s=5)
            ),
            retry=RetryPolicy(config.Retry(), clock, self.dice.random),
        )
        self.held: list[Permit] = []
        self.ends: set[str] = set()
        self.billed = Usage(input=0, output=0)

    @property
    def admission(self) -> Admission:
        return self.asking.admission

    def step(self) -> Step:
        fails = self.dice.choice([None, None, *PROVIDER_FAULTS, *OTHER_ENDS])
        chance = self.dice.random
        return Step(fails, chance() * 4, chance() * 4, chance() < 0.5, chance() < 0.5, chance() * 3)

    async def call(self, number: int) -> None:
        """One call: requests at once, some of which are cancelled, and once more after they ended."""
        caller = Caller(str(number % 4), Door.HTTP)
        deadline = self.asking.clock.monotonic() + self.dice.choice([5.0, 30.0, 90.0])
        asker = ModelAsker.for_call(self.asking, caller, deadline)
        async with self.admission.caller_permit(caller) as own, self.admission.total_permit(caller) as total:
            self.held.append(total)
            asker.terms.permits = permits = CallPermits(self.admission, own, total)
            try:
                for requests in (self.dice.randrange(1, 5), 1):
                    await asyncio.gather(*(self.request(asker, permits) for _ in range(requests)))
            finally:
                self.held.remove(total)
                self.billed += asker.ledger.bill.usage or Usage()

    async def request(self, asker: ModelAsker, permits: CallPermits) -> None:
        provider = self.dice.choice(self.providers)
        provider.steps.append(self.step())
        model = self.dice.choice(list(provider.models.values()))

        def listen(_kind: DeltaKind, _text: str) -> None:
            assert permits.held, "a call whose request is answered holds its permits"

        task = asyncio.ensure_future(asker(prompt_for(model), listen))
        if self.dice.random() < 0.3:
            asyncio.get_running_loop().call_later(self.dice.random() * 15, task.cancel)
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            await asyncio.wait([task])
        if task.cancelled():
            self.ends.add("cancelled")
        elif (error := task.exception()) is None:
            self.ends.add("ok")
        else:
            assert isinstance(error, ToolFault | KeyError)
            self.ends.add(type(error).__name__)

    async def look(self) -> None:
        """See again and again that permits in use are those that are held."""
        while True:
            await asyncio.sleep(0.05713)
            gates = [*self.admission.by_model.values(), *self.admission.by_provider.values()]
            for gate in (self.admission.total, *gates):
                assert 0 <= gate.in_use <= gate.limit
            working = sum(provider.at_work for provider in self.providers)
            assert sum(gate.in_use for gate in self.admission.by_provider.values()) >= working
            assert self.admission.total.in_use >= sum(permit.held for permit in self.held)


@pytest.mark.virtual_time
@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_to_requests_side_by_side_every_permit_comes_back(seed: int) -> None:
    crowd = Crowd(seed)
    loop = asyncio.get_running_loop()
    looking = loop.create_task(crowd.look())
    for _ in range(4):
        calls = [loop.create_task(crowd.call(number)) for number in range(24)]
        for call in calls:
            if crowd.dice.random() < 0.2:
                loop.call_later(crowd.dice.random() * 40, call.cancel)
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(end) for end in ends} <= {type(None), asyncio.CancelledError, errors.Overloaded}
    assert not looking.done(), looking
    looking.cancel()
    assert crowd.ends >= {"ok", "cancelled", "Overloaded", "DeadlineExceeded", "CircuitOpen", "KeyError"}
    reported = [provider.reported for provider in crowd.providers]
    assert crowd.billed == sum(reported[1:], reported[0])
    admission = crowd.admission
    gates = [admission.total, *admission.by_provider.values(), *admission.by_model.values()]
    assert [(gate.in_use, gate.waiting) for gate in gates] == [(0, 0)] * len(gates)
    assert admission.callers == 0
    assert admission.total.most_in_use == 6
