"""What retries, breakers and the choice of a model add to a call that goes well, in microseconds.

In one process and pinned to one core: the parts by themselves, then a whole `ask` of a provider that
answers at once beside the same without any of it (permit, request, fact, timings). CPU time of the thread; the
least of many short rounds counts, because whatever disturbs one only ever makes it longer.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.calls import ROOT, pin
from benchmarks.figures import keep, show
from exai import config
from exai.callers import Caller, Door
from exai.costs import Usage
from exai.events.bus import EventBus
from exai.events.events import ProviderCallEnded
from exai.events.requests import Purpose
from exai.messages import Message, Role
from exai.providers.base import Charges, Completion, OnDelta, Prompt, ProviderTimings
from exai.providers.catalog import Catalog, Model
from exai.providers.faults import Names, Refusal, fault_of
from exai.providers.kimi import ERRORS
from exai.routing.admission import Admission
from exai.routing.asker import ModelAsker
from exai.routing.breaker import Breaker, Breakers
from exai.routing.ledger import Stage
from exai.routing.request import Asking
from exai.routing.retry import RetryPolicy
from exai.routing.router import Choice
from exai.runtime.clock import SystemClock

AIMS = {"breaker_check_us": 1.0, "together_us": 10.0}
CALLER = Caller.local(Door.WEBSOCKET)
MODEL = Catalog.load().models["kimi-k3"]
PROMPT = Prompt(model=MODEL, messages=(Message(Role.USER, "hello"),))
COMPLETION = Completion(
    text="hello",
    provider=MODEL.provider,
    model=MODEL.name,
    echoed_model=MODEL.name,
    finish_reason="stop",
    usage=Usage(input=10, output=10),
    timings=ProviderTimings(),
)
REFUSED = (
    b'{"error":{"message":"Your account org-x<ak-x> request reached organization max RPM: 3, '
    b'please try again after 1 seconds","type":"rate_limit_reached_error"}}'
)


class Immediate:
    """A provider that answers before it is asked."""

    name = MODEL.provider
    configured = True

    async def complete(
        self,
        _prompt: Prompt,
        *,
        deadline: float,
        on_delta: OnDelta | None = None,
        charges: Charges | None = None,
    ) -> Completion:
        assert deadline > 0
        assert on_delta is None
        del charges  # nothing is charged
        return COMPLETION


class OneProvider:
    """A router of it."""

    def __init__(self) -> None:
        self.providers = {MODEL.provider: Immediate()}


def best_us(rounds: int, times: int, work: Callable[[], object]) -> float:
    """Microseconds of one `work`, the loop around it taken off."""

    def took(what: Callable[[], object]) -> float:
        least = float("inf")
        for _ in range(rounds):
            began = time.thread_time()
            for _ in range(times):
                what()
            least = min(least, time.thread_time() - began)
        return least / times * 1e6

    return took(work) - took(lambda: None)


async def best_async_us(rounds: int, times: int, works: list[Callable[[], Awaitable[object]]]) -> list[float]:
    """The same for coroutines, their rounds taken in turns."""
    least = [float("inf")] * len(works)
    for _ in range(rounds):
        for place, work in enumerate(works):
            began = time.thread_time()
            for _ in range(times):
                await work()
            least[place] = min(least[place], time.thread_time() - began)
    return [seconds / times * 1e6 for seconds in least]


def _parts(rounds: int, times: int, breakers: Breakers, retry: RetryPolicy) -> dict[str, float]:
    breaker: Breaker = breakers.of(MODEL.provider, MODEL.name)
    names = Names("Kimi", MODEL.name, "KIMI_API_KEY", "providers.kimi.base_url")

    def scope() -> None:
        with breaker.attempt():
            pass

    def classified() -> object:
        refusal = Refusal.read(429, {"Retry-After": "1"}, REFUSED, 0.0)
        return fault_of(refusal, ERRORS, names)

    return {
        "breaker_check_us": best_us(rounds, times, breaker.refuse_if_open),
        "breaker_scope_us": best_us(rounds, times, scope),
        "breaker_lookup_us": best_us(rounds, times, lambda: breakers.of(MODEL.provider, MODEL.name)),
        "budget_us": best_us(rounds, times, lambda: retry.budget(MODEL.provider).note_first_request()),
        "classification_of_a_refusal_us": best_us(rounds, max(1, times // 10), classified),
    }


async def _measure(rounds: int, times: int) -> dict[str, float]:
    clock, bus = SystemClock(), EventBus()
    breakers = Breakers(config.Breaker(), clock, bus.publish)
    retry = RetryPolicy(config.Retry(), clock)
    admission = Admission(config.Admission(), clock)
    router: Any = OneProvider()
    asking = Asking(admission, router, breakers, retry, bus, clock)
    choice = Choice(MODEL, MODEL.name, None)

    def new_asker() -> ModelAsker:
        return ModelAsker.for_call(asking, CALLER, clock.monotonic() + 900)

    async def with_all() -> None:
        async def answer(_model: Model, ask: ModelAsker) -> Completion:
            return await ask(PROMPT)

        await new_asker().along(choice, answer)

    async def without() -> None:
        ledger = new_asker().ledger
        with ledger.open(Purpose.CHAT, MODEL.provider, MODEL.name) as entry:
            async with admission.model_permit(CALLER, MODEL.provider, MODEL.name) as permit:
                began = clock.monotonic()
                entry.spend(Stage.PROVIDER_WAIT, began - permit.waited_s, began)
                completion = await router.providers[MODEL.provider].complete(
                    PROMPT, deadline=began + 900, on_delta=None
                )
                bus.publish(ProviderCallEnded(MODEL.provider, MODEL.name, "ok", clock.monotonic() - began))
            entry.bill.add(MODEL.cost(completion.usage), completion.usage)
            for stage in (Stage.CONNECT, Stage.FIRST_TOKEN, Stage.GENERATION):
                entry.spend(stage, began, began)

    whole, bare = await best_async_us(rounds, times, [with_all, without])
    parts = _parts(rounds, times * 10, breakers, retry)
    return {**parts, "ask_us": whole, "ask_without_us": bare, "together_us": whole - bare}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench resilience", description=__doc__)
    parser.add_argument("--rounds", type=int, default=80, help="the least of so many counts (default 80)")
    parser.add_argument("--times", type=int, default=1_000, help="calls of a round (default 1000)")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks/results/resilience.json", help="where the result goes"
    )
    options = parser.parse_args()
    pin(0)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    figures = loop.run_until_complete(_measure(options.rounds, options.times))
    show(figures, AIMS)
    result = {
        "aims": AIMS,
        **{name: round(microseconds, 4) for name, microseconds in figures.items()},
    }
    keep(result, options.json)


if __name__ == "__main__":
    main()
