"""Circuit breakers: a provider's model that fails is not asked for a while, which spares it and its callers.

    closed ── 5 failures in a row, or half of at least 10 in a minute ──► open
    open ── its time is over, and a request comes ──► half-open: that request probes
    half-open ── the probe is answered ──► closed; it fails ──► open again

One breaker per provider and model. What counts is what the provider does (column `blames` of `exai.routing.faults`):
cancelled calls, refusals of ours, and errors that the caller can fix count neither way. A refused key or a used-up
quota opens at once, until its reset where that is known.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from types import TracebackType

from exai import config
from exai.errors import CircuitOpen, DeadlineExceeded, ProviderUnauthorized, QuotaExhausted, ToolFault
from exai.events.events import BreakerClosed, BreakerOpened, BreakerProbed, BreakerRefused, Event
from exai.providers.faults import duration
from exai.routing.faults import Blame, handling_of
from exai.runtime.clock import Clock

__all__ = ["Attempt", "Breaker", "Breakers", "State"]

SLICE_S = 10.0
SLICES = 6
"""The minute in which the share of failures is taken, in slices that are forgotten one by one."""

JITTER = 0.1
"""Share of the time open that is added by chance, so that daemons do not probe in step."""

JITTERED_S = 30.0
"""Of a long time open, only so much is jittered: a reset is not to be missed by minutes."""

BLAMED_SILENCE_S = 10.0
"""A call whose own time ran out says something about the provider from this many seconds of silence on."""

SLOW = "slow_call"
"""The cause of an opening by calls that took too long."""


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """A probe is under way."""


_CLOSED = State.CLOSED
"""The same: looking a member up in its class is half of what a check costs."""


class Attempt:
    """A scope for one request to the model; leaving it reports to the breaker how it ended."""

    __slots__ = ("_began", "_breaker", "_generation", "probes")

    def __init__(self, breaker: "Breaker", *, probes: bool = False) -> None:
        self._breaker = breaker
        self._generation = breaker.generation
        self._began = breaker.clock.monotonic() if breaker.times_requests else 0.0
        self.probes = probes
        """Whether it is the one request of a half-open breaker."""

    def __enter__(self) -> "Attempt":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        breaker = self._breaker
        if self._generation != breaker.generation:
            return  # begun under another state, so its end says nothing about this one
        if error is None:
            breaker.succeeded(self._began)
        else:
            breaker.ended_with(error)

    def answer_started(self) -> None:
        """Close a half-open breaker at the probe's first sign of an answer: the others need not wait for its end."""
        if self.probes and self._generation == self._breaker.generation:
            self._breaker.close()
            self._generation = self._breaker.generation
            self.probes = False


class Breaker:
    """The breaker of one model at its provider; `Breakers` makes them."""

    __slots__ = (
        "_cause",
        "_dice",
        "_failed",
        "_in_a_row",
        "_opened_at",
        "_probe_at",
        "_publish",
        "_resets_at",
        "_settings",
        "_slice",
        "_succeeded",
        "clock",
        "generation",
        "model",
        "provider",
        "state",
        "times_requests",
    )

    def __init__(
        self,
        provider: str,
        model: str,
        settings: config.Breaker,
        clock: Clock,
        publish: Callable[[Event], None],
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.provider = provider
        self.model = model
        self.clock = clock
        self.state = State.CLOSED
        self.generation = 0
        """Grows with each change of state, so that a request begun before one does not count after it."""
        self._settings = settings
        self.times_requests = settings.slow_call_s is not None
        self._publish = publish
        self._dice = dice
        self._cause = ""
        self._opened_at = 0.0
        self._probe_at = 0.0
        self._resets_at = 0.0
        self._in_a_row = 0
        self._slice = 0
        self._succeeded = [0] * SLICES
        self._failed = [0] * SLICES

    @property
    def cause(self) -> str | None:
        """Code of the failure that opened it; `None` while it is closed."""
        return None if self.state is State.CLOSED else self._cause

    @property
    def retry_after_s(self) -> float:
        """When a request has a chance again, in seconds from now; 0 when it has one now."""
        if self.state is State.CLOSED:
            return 0.0
        if self.state is State.HALF_OPEN:
            return min(1.0, self._settings.open_s)  # the probe's own end is not known
        return max(0.0, self._probe_at - self.clock.monotonic())

    @property
    def open_for_s(self) -> float | None:
        """How long it has not been closed; `None` while it is."""
        return None if self.state is State.CLOSED else self.clock.monotonic() - self._opened_at

    @property
    def resets_in_s(self) -> float | None:
        """When what opened it is over, as the provider said; `None` where it did not, or while it is closed."""
        if self.state is State.CLOSED or self._resets_at <= self.clock.monotonic():
            return None
        return self._resets_at - self.clock.monotonic()

    @property
    def available(self) -> bool:
        """Whether a request would be let through now."""
        return self.state is State.CLOSED or self.retry_after_s == 0.0

    def refuse_if_open(self) -> None:
        """Refuse a request before it waits for anything.

        Raises:
            CircuitOpen: the breaker is open, and it is not time for a probe.
        """
        if self.state is not _CLOSED and not self.available:
            raise self._refusal()

    def attempt(self) -> Attempt:
        """A scope for one request.

        Raises:
            CircuitOpen: the breaker is open, or its one probe is under way.
        """
        if self.state is _CLOSED:
            return Attempt(self)
        if not self.available:
            raise self._refusal()
        self._change(State.HALF_OPEN)
        self._publish(BreakerProbed(self.provider, self.model))
        return Attempt(self, probes=True)

    def succeeded(self, began: float) -> None:
        """Take account of a request of the present state that was answered; `began` where requests are timed."""
        slow_call_s = self._settings.slow_call_s if self.times_requests else None
        if slow_call_s is not None and self.clock.monotonic() - began > slow_call_s:
            self._count_failure(SLOW)
        elif self.state is _CLOSED:
            self._in_a_row = 0
            place = self._this_slice()
            self._succeeded[place] += 1
        else:
            self.close()

    def ended_with(self, error: BaseException) -> None:
        """Take account of how a request of the present state failed."""
        blames = handling_of(error).blames
        if blames is Blame.SILENCE and isinstance(error, DeadlineExceeded):
            blames = Blame.PROVIDER if error.unanswered_s >= BLAMED_SILENCE_S else Blame.NOBODY
        if blames is Blame.PROVIDER and isinstance(error, ToolFault):
            self._count_failure(error.code)
        elif blames is Blame.ACCOUNT and isinstance(error, ToolFault):
            reset_s = error.retry_after_s
            seconds = self._settings.refused_open_s if reset_s is None else reset_s
            self._resets_at = 0.0 if reset_s is None else self.clock.monotonic() + reset_s
            self._open(error.code, max(seconds, self._settings.open_s))
        elif self.state is State.HALF_OPEN:
            if blames is Blame.REQUEST:
                self.close()
            else:
                asked_s = error.retry_after_s if isinstance(error, ToolFault) else None
                self._open(self._cause, max(asked_s or 0.0, self._settings.open_s))

    def close(self) -> None:
        """Let all requests through, as the provider answers, and forget what was counted."""
        self._change(State.CLOSED)
        self._in_a_row = 0
        self._forget()
        self._publish(
            BreakerClosed(self.provider, self.model, round(self.clock.monotonic() - self._opened_at, 3))
        )

    def probe_now(self) -> None:
        """Let the next request probe, before the time is over; nothing changes unless it is open."""
        if self.state is State.OPEN:
            self._probe_at = min(self._probe_at, self.clock.monotonic())

    def _count_failure(self, cause: str) -> None:
        settings = self._settings
        if self.state is State.HALF_OPEN:
            self._open(cause, settings.open_s)
            return
        self._in_a_row += 1
        place = self._this_slice()
        self._failed[place] += 1
        failed = sum(self._failed)
        total = failed + sum(self._succeeded)
        if self._in_a_row >= settings.consecutive_failures or (
            total >= settings.min_requests and failed >= settings.failure_share * total
        ):
            self._open(cause, settings.open_s)

    def _open(self, cause: str, seconds: float) -> None:
        again = self.state is not State.CLOSED
        now = self.clock.monotonic()
        seconds = min(seconds, self._settings.max_open_s)
        seconds += JITTER * self._dice() * min(seconds, JITTERED_S)
        self._change(State.OPEN)
        self._cause = cause
        self._probe_at = now + seconds
        if not again:
            self._opened_at = now
        self._publish(BreakerOpened(self.provider, self.model, cause, round(seconds, 3), again))

    def _change(self, state: State) -> None:
        self.state = state
        self.generation += 1

    def _this_slice(self) -> int:
        """Return the index of the slice to count in; slices that are past their minute are emptied on the way."""
        number = int(self.clock.monotonic() / SLICE_S)
        if number != self._slice:
            if number - self._slice >= SLICES:
                self._forget()
            else:
                for passed in range(self._slice + 1, number + 1):
                    self._succeeded[passed % SLICES] = self._failed[passed % SLICES] = 0
            self._slice = number
        return number % SLICES

    def _forget(self) -> None:
        self._succeeded = [0] * SLICES
        self._failed = [0] * SLICES

    def _refusal(self) -> CircuitOpen:
        self._publish(BreakerRefused(self.provider, self.model))
        wait_s = max(0.1, round(self.retry_after_s, 1))
        why = _REASONS.get(self._cause, "its latest requests failed")
        if self._cause == QuotaExhausted.code and self._resets_at > self._probe_at:
            why += f" for {duration(self._resets_at - self.clock.monotonic())} yet"
        return CircuitOpen(
            f"{self.model} is not asked for now, because {why} ({self._cause}). In {duration(wait_s)} a request "
            "may try it again; until then use another model.",
            retry_after_s=wait_s,
        )


_REASONS: Mapping[str, str] = {
    QuotaExhausted.code: "the account's quota at its provider is used up",
    ProviderUnauthorized.code: "its provider does not accept the key",
    SLOW: "its latest answers took too long",
}


class Breakers:
    """All breakers of the daemon, each made when its model is asked for the first time."""

    def __init__(self, settings: config.Breaker, clock: Clock, publish: Callable[[Event], None]) -> None:
        self._settings = settings
        self._clock = clock
        self._publish = publish
        self._by_model: dict[tuple[str, str], Breaker] = {}

    def __iter__(self) -> Iterator[Breaker]:
        return iter(self._by_model.values())

    def of(self, provider: str, model: str) -> Breaker:
        """Return the breaker of a provider's model, made when it is asked for the first time."""
        breaker = self._by_model.get((provider, model))
        if breaker is None:
            breaker = Breaker(provider, model, self._settings, self._clock, self._publish)
            self._by_model[provider, model] = breaker
        return breaker

    def find(self, provider: str, model: str) -> Breaker | None:
        """Return the same without making one; `None` while the model was never asked."""
        return self._by_model.get((provider, model))

    def available(self, provider: str, model: str) -> bool:
        """Whether a request for this model would be let through now."""
        breaker = self._by_model.get((provider, model))
        return breaker is None or breaker.available
