"""A provider that answers from a script and remembers what it was asked: the twin of the real adapters."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from exai import config, errors
from exai.callers import Caller, Door
from exai.costs import Usage
from exai.events.bus import EventBus
from exai.messages import ToolCall
from exai.providers.base import Charges, Completion, DeltaKind, OnDelta, Prompt, ProviderTimings
from exai.providers.catalog import Model, Price
from exai.routing.admission import Admission
from exai.routing.asker import ModelAsker
from exai.routing.breaker import Breakers
from exai.routing.progress import Progress
from exai.routing.request import Asking
from exai.routing.retry import RetryPolicy
from exai.routing.router import Choice
from exai.runtime.clock import Clock, SystemClock

__all__ = ["MODEL", "UNSENT", "ScriptedProvider", "ScriptedRouter", "asker", "asking"]

MODEL = Model(
    name="scripted-1",
    provider="scripted",
    wire_name="scripted-1",
    context_tokens=10_000,
    max_output_tokens=2_000,
    price=Price(input=1.0, cached_input=0.5, output=2.0, checked="2026-01-01"),
)

UNSENT = frozenset({errors.AbilityMissing, errors.CircuitOpen, errors.ProviderUnconfigured, errors.Stopping})
"""Faults by which an adapter refuses by itself, before anything is sent."""

Step = str | Exception | tuple[ToolCall, ...] | Callable[[Prompt], Any]
"""An answer, a failure, calls of tools, or a function of the prompt that returns or awaits one of them."""


class ScriptedProvider:
    """Answers step by step; without steps it echoes the last message."""

    name = "scripted"
    configured = True

    def __init__(self, *steps: Step, model: Model = MODEL) -> None:
        self._steps = deque(steps)
        self.models: Mapping[str, Model] = MappingProxyType({model.name: model})
        self.asked: list[Prompt] = []
        self.cancelled = 0
        self.asked_now = asyncio.Event()

    def script(self, *steps: Step) -> None:
        """Add steps."""
        self._steps.extend(steps)

    async def complete(
        self,
        prompt: Prompt,
        *,
        deadline: float,  # noqa: ARG002 - part of the face
        on_delta: OnDelta | None = None,
        charges: Charges | None = None,
    ) -> Completion:
        charges = charges or Charges()
        self.asked.append(prompt)
        self.asked_now.set()
        step: Any = self._steps.popleft() if self._steps else f"echo: {prompt.messages[-1].text}"
        try:
            if callable(step):
                step = step(prompt)
                if asyncio.iscoroutine(step):
                    step = await step
        except asyncio.CancelledError:
            self.cancelled += 1
            charges.leave()
            raise
        except Exception as error:  # noqa: BLE001 - whatever the script raises is its failure
            step = error
        if isinstance(step, Exception):
            if type(step) not in UNSENT:
                charges.leave()
                charges.clear()
            raise step
        calls: tuple[ToolCall, ...] = step if isinstance(step, tuple) else ()
        text: str = "" if calls else step
        charges.leave()
        usage = Usage(input=1_000_000, cached=0, output=500_000)
        charges.report(usage)
        if on_delta is not None:
            on_delta(DeltaKind.TEXT, text)
        return Completion(
            text=text,
            provider=self.name,
            model=prompt.model.name,
            echoed_model=prompt.model.name,
            finish_reason="tool_calls" if calls else "stop",
            tool_calls=calls,
            usage=usage,
            timings=ProviderTimings(),
        )

    def counts_tokens(self, prompt: Prompt) -> bool:  # noqa: ARG002 - part of the face
        return False

    async def count_tokens(self, prompt: Prompt, *, deadline: float, charges: Charges | None = None) -> int:  # noqa: ARG002
        raise AssertionError(f"asked to count for {prompt.model.name} until {deadline}, although it does not")

    async def close(self) -> None:
        pass


class ScriptedRouter:
    """Every name leads to the one scripted model."""

    def __init__(self, provider: ScriptedProvider) -> None:
        self.providers = {provider.name: provider}
        (self._model,) = provider.models.values()

    def resolve(self, requested: str | None, **_: Any) -> Choice:
        return Choice(self._model, requested, None)

    async def close(self) -> None:
        pass


def asking(
    router: Any,
    *,
    bus: EventBus | None = None,
    clock: Clock | None = None,
    limits: config.Admission | None = None,
    retry: config.Retry | None = None,
    breaker: config.Breaker | None = None,
) -> Asking:
    """What calls ask with; without settings for it, nothing is asked twice."""
    clock, bus = clock or SystemClock(), bus or EventBus()
    return Asking(
        Admission(limits or config.Admission(), clock),
        router,
        Breakers(breaker or config.Breaker(), clock, bus.publish),
        RetryPolicy(retry or config.Retry(max_retries=0), clock),
        bus,
        clock,
    )


def asker(asking: Asking, *, seconds: float = 100.0, progress: Progress | None = None) -> ModelAsker:
    """What one call asks with, which has so many seconds."""
    caller = Caller.local(Door.WEBSOCKET)
    return ModelAsker.for_call(asking, caller, asking.clock.monotonic() + seconds, progress)
