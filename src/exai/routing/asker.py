"""Where a provider is asked: the breaker, the permit, the deadline, retries, and the next model by consent.

    for each model that may answer:  breaker closed? → permit → request → answer
                                                 ▲                   │ a failure that passes
                                                 └── wait, no permit ◄┘

The permit is held only while the provider works; through a wait a call holds none at all.
An answer that began is never asked for again: neither here nor of another model.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from exai.callers import Caller
from exai.costs import Bill, Cost
from exai.errors import (
    AbilityMissing,
    DeadlineExceeded,
    ExaiError,
    ProviderFault,
    ProviderUnconfigured,
    Stopping,
    ToolFault,
)
from exai.events.bus import EventBus
from exai.events.events import FellBack, ProviderCallEnded, RetryPlanned, RetryRefused
from exai.providers.base import Completion, DeltaKind, OnDelta, Prompt
from exai.providers.catalog import Model
from exai.providers.search import Found, SearchEngine, SearchQuery
from exai.routing.admission import Admission, Permit, set_aside
from exai.routing.breaker import Attempt, Breaker, Breakers, State
from exai.routing.fallback import RULES, Tried, who_takes_over
from exai.routing.progress import Progress, SilentProgress
from exai.routing.retry import FaultClass, RetryPolicy
from exai.routing.router import Choice, ModelRouter
from exai.runtime.clock import Clock

__all__ = ["Asking", "ModelAsker"]

T = TypeVar("T")

WEB_SEARCH = "web-search"
"""Where a model's name stands in permits, breakers and facts, of a search without a model."""

PATIENCE_S = float("inf")
PATIENCE_WITH_FALLBACK_S = 5.0
"""Longest wait for a model while another one may take over."""

_UNSENT = (AbilityMissing, ProviderUnconfigured, Stopping)
"""What a provider's adapter refuses by itself, before anything is sent."""

_WHY_AGAIN: Mapping[FaultClass, str] = {
    FaultClass.THROTTLE: "limits how often it may be asked",
    FaultClass.OVERLOAD: "has no capacity now",
    FaultClass.TRANSPORT: "did not answer",
}


@dataclass(frozen=True, slots=True)
class Asking:
    """What all calls ask with."""

    admission: Admission
    router: ModelRouter
    breakers: Breakers
    retry: RetryPolicy
    bus: EventBus
    clock: Clock

    def on_behalf_of(self, caller: Caller, deadline: float) -> "ModelAsker":
        """What one call asks with; `deadline` in `Clock.monotonic` seconds."""
        return ModelAsker(self, caller, deadline)


class ModelAsker:
    """Asks models on behalf of one call.

    `timings` gathers where the time went, in milliseconds; `bill` what the requests used and cost.
    """

    def __init__(self, asking: Asking, caller: Caller, deadline: float) -> None:
        self._asking = asking
        self._clock = asking.clock
        self._caller = caller
        self._deadline = deadline
        self._patience_s = PATIENCE_S
        self.hears = False
        """Whether an answer to the present request has begun, as far as it is listened to."""
        self.told = False
        """Whether the caller has heard a part of an answer of the present model."""
        self.progress: Progress = SilentProgress()
        self.holds: Sequence[Permit] = ()
        """The call's own permits, which others may use while it waits."""
        self.timings: dict[str, float] = {}
        self.bill = Bill()
        self.tried: list[Tried] = []
        """The models that were to answer, in turn."""

    async def __call__(self, prompt: Prompt, on_delta: OnDelta | None = None) -> Completion:
        """One answer of the prompt's model, asked again where its failure passes by itself.

        Raises:
            ProviderFault: the provider did not answer as asked.
            Overloaded: no permit for this model became free in time.
            DeadlineExceeded: the call's time is over.
        """
        prompt = replace(prompt, owner=self._caller.subject)
        model = prompt.model
        asking = self._asking
        breaker = asking.breakers.of(model.provider, model.name)
        tried = self._entry(model)
        retries = 0
        while True:
            try:
                breaker.refuse_if_open()
                if retries == 0:
                    asking.retry.budget(model.provider).note_first_request()
                completion = await self._request(prompt, on_delta, breaker, tried)
            except ToolFault as fault:
                tried.outcome = fault.code
                if self.hears or not isinstance(fault, ProviderFault):
                    raise
                waited_s = await self._wait_for_retry(fault, breaker, retries, self._patience_s)
                if waited_s is None:
                    raise
                self._add("backoff_ms", waited_s * 1000)
                retries += 1
            else:
                tried.outcome = "ok"
                self.bill.add(model.cost(completion.usage), completion.usage)
                for service, count in completion.services.items():
                    self.bill.add(asking.router.fee(model.provider, service).cost(count))
                timings = completion.timings
                self._add("connect_ms", timings.connect_ms)
                self._add("first_token_ms", timings.first_token_ms)
                self._add("generation_ms", timings.generation_ms)
                return completion

    async def count_tokens(self, prompt: Prompt) -> int | None:
        """The provider's own count of a prompt, where it has a counter that is to be asked."""
        began = self._clock.monotonic()
        provider = self._asking.router.providers[prompt.model.provider]
        try:
            return await provider.count_tokens(prompt, deadline=self._deadline)
        finally:
            self._add("first_token_ms", (self._clock.monotonic() - began) * 1000)

    async def along(self, choice: Choice, answer: Callable[[Model], Awaitable[T]]) -> tuple[T, Choice]:
        """What `answer` makes of the chosen model; else of the first that may and can take over, and why it did.

        Raises:
            ToolFault: of the chosen model, when none of the others could answer either; of a later one
                when its failure ends the call.
        """
        model, allowed = choice.model, choice.fallbacks
        first: ToolFault | None = None
        while True:
            self._patience_s = PATIENCE_WITH_FALLBACK_S if allowed else PATIENCE_S
            self.told = False
            try:
                value = await answer(model)
            except ToolFault as fault:
                self._entry(model).outcome = fault.code
                rest = (
                    ()
                    if self.told
                    else who_takes_over(fault, model, allowed, filtered_too=choice.filtered_too)
                )
                if not rest:
                    if first is None or type(fault) not in RULES:
                        raise
                    raise first from fault
                first = first or fault
                taker, allowed = rest[0], tuple(rest[1:])
                self._asking.bus.publish(
                    FellBack(model.provider, model.name, taker.provider, taker.name, fault.code)
                )
                self.progress.status(
                    f"{model.name} cannot answer ({fault.code}); asking {taker.name} instead"
                )
                model = taker
            else:
                return value, choice.answered_by(model, self.tried)

    async def search(self, engine: SearchEngine, query: SearchQuery) -> Found:
        """What `engine` finds, under permit and breaker, asked again where its failure passes by itself.

        Raises:
            ProviderFault: the provider did not answer as asked.
            Overloaded: no permit became free in time.
            DeadlineExceeded: the call's time is over.
        """
        asking = self._asking
        provider = engine.provider
        breaker = asking.breakers.of(provider, WEB_SEARCH)
        breaker.refuse_if_open()
        asking.retry.budget(provider).note_first_request()
        retries = 0
        while True:
            try:
                async with asking.admission.model_permit(
                    self._caller, provider, WEB_SEARCH, aside=self.holds
                ):
                    with breaker.attempt():
                        found = await self._searched(engine, query)
            except ProviderFault as fault:
                # Whoever waits for the search counts its time as that of a tool.
                if await self._wait_for_retry(fault, breaker, retries, PATIENCE_WITH_FALLBACK_S) is None:
                    raise
                retries += 1
            else:
                fee = None if found.service is None else asking.router.fee(provider, found.service)
                self.bill.add(Cost({"search": 0.0}) if fee is None else fee.cost())
                return found

    async def _searched(self, engine: SearchEngine, query: SearchQuery) -> Found:
        began = self._clock.monotonic()
        outcome = "ok"
        try:
            return await engine.search(query, deadline=self._deadline)
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except ExaiError as fault:
            outcome = fault.code
            raise
        except Exception:
            outcome = "internal_error"
            raise
        finally:
            elapsed = self._clock.monotonic() - began
            self._asking.bus.publish(ProviderCallEnded(engine.provider, WEB_SEARCH, outcome, elapsed))

    async def _request(
        self, prompt: Prompt, on_delta: OnDelta | None, breaker: Breaker, tried: Tried
    ) -> Completion:
        """One request, under breaker and permit."""
        self.hears = False
        model = prompt.model
        async with self._asking.admission.model_permit(
            self._caller, model.provider, model.name, aside=self.holds
        ) as permit:
            self._add("provider_sem_wait_ms", permit.waited_s * 1000)
            began = self._clock.monotonic()
            if began >= self._deadline:
                raise DeadlineExceeded(
                    f"The time of this call ran out before {model.name} was asked. Ask for less, or raise "
                    "timeouts.call_s."
                )
            with breaker.attempt() as attempt:
                # Without a listener the adapter may ask for the whole answer at once, which costs less; but a
                # probe is to be over with its first word.
                ear = _Ear(self, attempt, on_delta) if on_delta is not None or attempt.probes else None
                outcome = "ok"
                sent = 1
                try:
                    return await self._asking.router.providers[model.provider].complete(
                        prompt, deadline=self._deadline, on_delta=ear
                    )
                except BaseException as error:
                    outcome = self._outcome(error, model)
                    sent = 0 if isinstance(error, _UNSENT) else 1
                    raise
                finally:
                    tried.requests += sent
                    elapsed = self._clock.monotonic() - began
                    if outcome != "ok":
                        tried.outcome = outcome
                        self._add("generation_ms" if self.hears else "failed_requests_ms", elapsed * 1000)
                    self._asking.bus.publish(ProviderCallEnded(model.provider, model.name, outcome, elapsed))

    def _outcome(self, error: BaseException, model: Model) -> str:
        """What the fact says of a request that ended so; what it cost nevertheless is added to the bill."""
        if isinstance(error, asyncio.CancelledError):
            return "cancelled"
        if not isinstance(error, ExaiError):
            return "internal_error"
        if isinstance(error, ProviderFault) and error.usage is not None:
            self.bill.add(model.cost(error.usage), error.usage)
        return error.code

    async def _wait_for_retry(
        self, fault: ProviderFault, breaker: Breaker, retries: int, patience_s: float
    ) -> float | None:
        """Wait until the request is to be made again, and for how long that was; `None` when it is not."""
        decision = self._asking.retry.decide(
            fault,
            provider=breaker.provider,
            retries=retries,
            left_s=self._deadline - self._clock.monotonic(),
            patience_s=patience_s,
            spared=breaker.state is State.OPEN,
        )
        publish = self._asking.bus.publish
        if decision.kind is None:
            return None
        if decision.no_retry is not None:
            publish(RetryRefused(breaker.provider, breaker.model, fault.code, decision.no_retry))
            return None
        publish(RetryPlanned(breaker.provider, breaker.model, fault.code, round(decision.wait_s, 3)))
        self.progress.status(
            f"{breaker.model} {_WHY_AGAIN[decision.kind]} ({fault.code}); asking again in "
            f"{decision.wait_s:.1f} s, retry {retries + 1}"
        )
        began = self._clock.monotonic()
        async with set_aside(self.holds):
            await asyncio.sleep(decision.wait_s)
        return self._clock.monotonic() - began

    def _entry(self, model: Model) -> Tried:
        """The record of the model whose turn it is."""
        if self.tried and self.tried[-1].model == model.name:
            return self.tried[-1]
        entry = Tried(model.name, model.provider)
        self.tried.append(entry)
        return entry

    def _add(self, stage: str, milliseconds: float) -> None:
        self.timings[stage] = self.timings.get(stage, 0.0) + milliseconds


class _Ear:
    """Hears an answer as it grows, for the breaker and for the caller."""

    __slots__ = ("_asker", "_attempt", "_on_delta")

    def __init__(self, asker: ModelAsker, attempt: Attempt, on_delta: OnDelta | None) -> None:
        self._asker = asker
        self._attempt = attempt
        self._on_delta = on_delta

    def __call__(self, kind: DeltaKind, text: str) -> None:
        if not self._asker.hears:
            self._asker.hears = True
            self._asker.told = self._asker.told or self._on_delta is not None
            self._attempt.heard()
        if self._on_delta is not None:
            self._on_delta(kind, text)
