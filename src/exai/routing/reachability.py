"""Whether each provider can answer: by its latest requests, its breakers, and a request that costs nothing.

Whoever asks for `/readyz` or the overview wants to know without a call being made for it. Where the latest answer of a
provider is no proof any more, the duty `check_providers` is woken and asks for its list of models; nobody looks,
nothing is asked. Who looks waits for that only where no other provider is known to answer, and in the end learns what
is known then.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from exai.errors import (
    ProviderFailed,
    ProviderFault,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderUnauthorized,
    ProviderUnreachable,
    QuotaExhausted,
)
from exai.events.bus import EventBus
from exai.events.events import ProviderCallEnded
from exai.providers.base import Provider
from exai.routing.breaker import Breaker, Breakers
from exai.runtime.clock import Clock
from exai.runtime.limits.loop_time import within

__all__ = ["Reachability", "Trouble"]

FRESH_S = 4.0
"""How long an answer is proof."""
WITHIN_S = 4.0
"""How long a provider may take to list its models, of the time in which the event loop runs."""
LONGEST_S = 2 * WITHIN_S
"""How long it may take by the clock, however late the loop is."""
WAIT_S = 1.5
"""How long whoever asks waits for that; then it learns what was known before."""

_NO_ANSWERS = (
    ProviderUnauthorized,
    ProviderUnreachable,
    ProviderTimeout,
    ProviderOverloaded,
    ProviderFailed,
    QuotaExhausted,
)
"""Faults of the free request after which no question will be answered. What else it may end with says nothing: a key
may be allowed to ask and not to list, and a limit of our rate passes."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a provider."""

    provider: str
    reason: str
    can_answer: bool
    """Whether some of its models may answer all the same."""


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What was seen of a provider last."""

    at: float
    """By the monotonic clock."""
    fault: str | None
    """Why it does not answer, in a sentence; `None`: it does."""


class Reachability:
    """Knows which of the configured providers can answer."""

    def __init__(self, providers: Mapping[str, Provider], breakers: Breakers, clock: Clock) -> None:
        self._providers = {name: each for name, each in providers.items() if each.configured}
        self._breakers = breakers
        self._clock = clock
        self._seen: dict[str, _Evidence] = {}
        self._refreshed = asyncio.Event()
        self.wanted = asyncio.Event()
        """Wakes the duty that refreshes what is known."""

    def watch(self, bus: EventBus) -> None:
        """Take account of requests from now on: one that is answered is proof."""
        bus.watch(self._request_ended, ProviderCallEnded)

    async def refresh(self) -> None:
        """Ask the providers of which nothing fresh is known for their models, all at the same time."""
        await asyncio.gather(*(self._ask(name) for name in self._stale()))
        self._refreshed.set()

    async def troubles(self) -> list[Trouble]:
        """Return what is wrong, after a moment in which it may be found out if nothing proves that calls are served."""
        stale = set(self._stale())
        if stale:
            self._refreshed.clear()
            self.wanted.set()
            if not self._is_proved(stale):
                with suppress(TimeoutError):
                    async with asyncio.timeout(WAIT_S):
                        await self._refreshed.wait()
        return [trouble for name in self._providers if (trouble := self._trouble_of(name)) is not None]

    def _request_ended(self, event: ProviderCallEnded) -> None:
        if event.outcome == "ok":
            self._note(event.provider, None)

    def _note(self, provider: str, fault: str | None) -> None:
        self._seen[provider] = _Evidence(self._clock.monotonic(), fault)

    def _is_proved(self, stale: set[str]) -> bool:
        """Whether something is known of every provider, and of one that it answers now."""
        answering = (
            name
            for name in self._providers.keys() - stale
            if (trouble := self._trouble_of(name)) is None or trouble.can_answer
        )
        return self._seen.keys() >= self._providers.keys() and any(answering)

    def _stale(self) -> Iterator[str]:
        now = self._clock.monotonic()
        for name in self._providers:
            seen = self._seen.get(name)
            if seen is None or now - seen.at > FRESH_S:
                yield name

    async def _ask(self, name: str) -> None:
        began = self._clock.monotonic()
        try:
            fault = await within(WITHIN_S, self._fault_of(name), name=f"reach {name}")
        except TimeoutError:
            fault = f"its list of models did not come within {WITHIN_S:g} s"
        seen = self._seen.get(name)
        has_answered_since = seen is not None and seen.fault is None and seen.at >= began
        if fault is None or not has_answered_since:
            self._note(name, fault)

    async def _fault_of(self, name: str) -> str | None:
        """Ask for the list; why calls will not be answered, or `None`."""
        try:
            await self._providers[name].reach(within_s=LONGEST_S)
        except ProviderFault as fault:
            return str(fault).partition(". ")[0].rstrip(".") if isinstance(fault, _NO_ANSWERS) else None
        return None

    def _trouble_of(self, name: str) -> Trouble | None:
        seen = self._seen.get(name)
        if seen is not None and seen.fault is not None:
            return Trouble(name, f"{name}: {seen.fault}", can_answer=False)
        spared = [each for each in self._breakers if each.provider == name and not each.available]
        if not spared:
            return None
        models = self._providers[name].models
        can_answer = len({each.model for each in spared} & set(models)) < len(models)
        return Trouble(name, "; ".join(map(_spared, spared)), can_answer)


def _spared(breaker: Breaker) -> str:
    seconds = max(1, round(breaker.retry_after_s))
    return f"{breaker.provider}: {breaker.model} is not asked for {seconds} s ({breaker.cause})"
