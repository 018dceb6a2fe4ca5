"""Providers whose answers take their time by a script; for tests on a loop whose clock jumps."""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from exai.costs import Usage
from exai.errors import DeadlineExceeded, ProviderFault
from exai.messages import Message, Role
from exai.providers.base import Charges, Completion, DeltaKind, OnDelta, Prompt, ProviderTimings
from exai.providers.catalog import Fee, Model, Price
from exai.providers.search import Found, SearchQuery
from support.scripted import UNSENT

__all__ = ["Step", "TimedEngine", "TimedProvider", "TimedRouter", "model_of", "prompt_for"]

PRICE = Price(input=1.0, cached_input=0.5, output=2.0, checked="2026-01-01")


def model_of(provider: str, name: str = "m") -> Model:
    """A model of this provider."""
    return Model(
        name=f"{provider}/{name}",
        provider=provider,
        wire_name=name,
        context_tokens=10_000,
        max_output_tokens=2_000,
        price=PRICE,
    )


def prompt_for(model: Model) -> Prompt:
    """Any question."""
    return Prompt(model=model, messages=(Message(Role.USER, "hello"),))


@dataclass(frozen=True)
class Step:
    """How one attempt goes."""

    fails: type[Exception] | None = None
    """`None`: it is answered."""
    first_s: float = 0.0
    """Until the first piece of an answer, or until it fails."""
    then_s: float = 0.0
    """From there to the end."""
    speaks: bool = False
    """Whether a failing one sends a piece of an answer first; an answered one always does."""
    billed: bool = False
    """Whether a failing one reports what it used."""
    asked_wait_s: float | None = None
    """`Retry-After` of a failing one."""


class TimedProvider:
    """Plays one step per attempt, and echoes without steps."""

    configured = True

    def __init__(self, name: str, *steps: Step, models: Iterable[Model] | None = None) -> None:
        self.name = name
        self.steps = deque(steps)
        self.models: Mapping[str, Model] = {model.name: model for model in models or [model_of(name)]}
        self.asked = 0
        self.at_work = 0
        self.reported = Usage(input=0, output=0)
        """All that it said was used."""

    @property
    def model(self) -> Model:
        return next(iter(self.models.values()))

    async def complete(
        self,
        prompt: Prompt,
        *,
        deadline: float,
        on_delta: OnDelta | None = None,
        charges: Charges | None = None,
    ) -> Completion:
        charges = charges or Charges()
        self.asked += 1
        step = self.steps.popleft() if self.steps else Step()
        self.at_work += 1
        try:
            async with asyncio.timeout_at(deadline) as limit:
                return await self._play(step, prompt, on_delta, charges)
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceeded("too late", unanswered_s=step.first_s) from None
        finally:
            self.at_work -= 1

    async def _play(
        self, step: Step, prompt: Prompt, on_delta: OnDelta | None, charges: Charges
    ) -> Completion:
        if step.fails not in UNSENT:
            charges.leave()
        await asyncio.sleep(step.first_s)
        if on_delta is not None and (step.speaks or step.fails is None):
            on_delta(DeltaKind.TEXT, "well, ")
        await asyncio.sleep(step.then_s)
        if step.fails is not None:
            raise self._failure(step, charges)
        usage = self._report(charges)
        return Completion(
            text="well, yes",
            provider=self.name,
            model=prompt.model.name,
            echoed_model=prompt.model.name,
            finish_reason="stop",
            usage=usage,
            timings=ProviderTimings(
                first_token_ms=step.first_s * 1000,
                generation_ms=step.then_s * 1000,
            ),
        )

    def _failure(self, step: Step, charges: Charges) -> Exception:
        assert step.fails is not None
        failure = step.fails("scripted")
        if isinstance(failure, ProviderFault):
            failure.retry_after_s = step.asked_wait_s
        if step.fails not in UNSENT:
            if step.billed:
                self._report(charges)
            else:
                charges.clear()
        return failure

    def _report(self, charges: Charges) -> Usage:
        usage = Usage(input=100, output=50)
        self.reported += usage
        charges.report(usage)
        return usage

    def counts_tokens(self, _prompt: Prompt) -> bool:
        return False


class TimedEngine:
    """A web search that plays one step per attempt."""

    configured = True

    def __init__(self, provider: str, *steps: Step) -> None:
        self.provider = provider
        self._steps = deque(steps)

    def lacks(self, _query: SearchQuery) -> str | None:
        return None

    async def search(self, _query: SearchQuery, *, deadline: float, charges: Charges) -> Found:
        charges.leave()
        step = self._steps.popleft() if self._steps else Step()
        async with asyncio.timeout_at(deadline):
            await asyncio.sleep(step.first_s)
        if step.fails is not None:
            charges.clear()
            raise step.fails("scripted")
        charges.clear()
        charges.services["search"] += 1
        return Found((), self.provider, "timed")


class TimedRouter:
    """What a router is asked for by those who ask models."""

    def __init__(self, *providers: TimedProvider) -> None:
        self.providers: dict[str, Any] = {provider.name: provider for provider in providers}

    def fee(self, provider: str, service: str) -> Fee:
        return Fee(provider, service, "a search", "search", 0.01, "2026-01-01")
