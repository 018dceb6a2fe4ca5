"""One request of a call: under breaker and permit, within the deadline, made again where its failure passes.

    breaker closed? → permit → attempt → answer
            ▲                     │ a failure that passes, before any of an answer
            └── wait, no permit ◄─┘

What is known of a request is in its `Request` and in its entry of the ledger, which live as long as it does. Requests
of one call that run side by side share the call's terms alone: its caller, its deadline, and its permits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from exai.callers import Caller
from exai.errors import DeadlineExceeded, ProviderFault
from exai.events.bus import EventBus
from exai.events.events import ProviderCallEnded, RequestRecovered, RetryPlanned, RetryRefused
from exai.providers.base import DeltaKind, OnDelta
from exai.routing.admission import Admission, CallPermits
from exai.routing.breaker import Attempt, Breakers, State
from exai.routing.faults import RetryKind, handling_of
from exai.routing.ledger import Entry, Stage, outcome_of
from exai.routing.progress import Progress
from exai.routing.retry import RetryPolicy
from exai.routing.router import ModelRouter
from exai.runtime.clock import Clock

__all__ = ["Asking", "CallTerms", "Grant", "Request"]

T = TypeVar("T")
Grant = Callable[[], Awaitable[None]]
"""Is awaited before a request is sent; raises what refuses it."""

_WHY_AGAIN: Mapping[RetryKind, str] = {
    RetryKind.THROTTLE: "limits how often it may be asked",
    RetryKind.OVERLOAD: "has no capacity now",
    RetryKind.TRANSPORT: "did not answer",
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
    emulated: frozenset[str] = frozenset()
    """The providers that an emulator plays."""


def _hold_nothing(_size: int) -> None:
    pass


class CallTerms(msgspec.Struct):
    """What all requests of one call have in common."""

    caller: Caller
    deadline: float
    """When the call's time is over, in `Clock.monotonic` seconds."""
    permits: CallPermits
    """The call's own, which others may use while all of its requests wait."""
    progress: Progress
    hold: Callable[[int], None] = _hold_nothing
    """Counts bytes that the call holds from now on, or raises `Overloaded`."""
    grant: Grant | None = None
    """Of a caller with a budget; nothing is sent without one, and nothing twice."""


class Request:
    """One request, from its first attempt to its answer or to its last failure."""

    __slots__ = ("_asking", "_breaker", "_patience_s", "_terms", "answer_started", "entry")

    def __init__(self, asking: Asking, terms: CallTerms, entry: Entry, patience_s: float) -> None:
        """`patience_s` bounds the wait for another attempt, beside the settings."""
        self._asking = asking
        self._terms = terms
        self._patience_s = patience_s
        self._breaker = asking.breakers.of(entry.provider, entry.model)
        self.entry = entry
        self.answer_started = False
        """Whether an answer has begun, as far as it is listened to; it is not asked for again then."""

    async def answer(self, send: Callable[[Attempt], Awaitable[T]]) -> T:
        """Return what `send` returns, called for each attempt; leaving it, the request's entry has its end.

        Raises:
            ProviderFault: the provider did not answer as asked.
            Overloaded: no permit became free in time.
            DeadlineExceeded: the call's time is over.
        """
        retries = 0
        failed: ProviderFault | None = None
        with self.entry, self._terms.permits:
            self._breaker.refuse_if_open()
            self._asking.retry.budget(self.entry.provider).note_first_request()
            while True:
                try:
                    answer = await self._attempt(send)
                except ProviderFault as fault:
                    if self.answer_started or not await self._wait_for_retry(fault, retries):
                        raise
                    self._breaker.refuse_if_open()
                    retries += 1
                    failed = fault
                else:
                    if failed is not None:
                        entry = self.entry
                        self._asking.bus.publish(RequestRecovered(entry.provider, entry.model, failed))
                    self._terms.permits.patience.renew()
                    return answer

    def tap(self, attempt: Attempt, on_delta: OnDelta | None) -> OnDelta | None:
        """The listener of one attempt.

        Without one the adapter may ask for the whole answer at once, which costs less; but a probe is over with the
        first piece of an answer.
        """
        if on_delta is None and not attempt.probes:
            return None
        return _DeltaTap(self, attempt, on_delta)

    async def _attempt(self, send: Callable[[Attempt], Awaitable[T]]) -> T:
        """Make one attempt under a permit, within the deadline, and tell breaker and ledger how it ended."""
        asking, terms, entry = self._asking, self._terms, self.entry
        asked = asking.clock.monotonic()
        entry.doing, entry.doing_since = Stage.PROVIDER_WAIT, asked
        has_permit = False
        try:
            async with asking.admission.model_permit(
                terms.caller, entry.provider, entry.model, call=terms.permits
            ) as permit:
                has_permit = True
                began = asking.clock.monotonic()
                entry.spend(Stage.PROVIDER_WAIT, began - permit.waited_s, began)
                entry.doing, entry.doing_since = Stage.FIRST_TOKEN, began
                if began >= terms.deadline:
                    raise DeadlineExceeded(
                        f"The time of this call ran out before {entry.model} was asked. Ask for less."
                    )
                if terms.grant is not None:
                    await terms.grant()
                with self._breaker.attempt() as attempt:
                    try:
                        result = await send(attempt)
                    except BaseException as error:
                        self._failed(error, began)
                        raise
                    self._publish_end("ok", began)
                    return result
        finally:
            if not has_permit:
                entry.spend(Stage.PROVIDER_WAIT, asked, asking.clock.monotonic())

    def _failed(self, error: BaseException, began: float) -> None:
        """Note an attempt that did not bring an answer."""
        handling = handling_of(error)
        stage = Stage.GENERATION if self.answer_started else Stage.FAILED_REQUESTS
        self.entry.spend(stage, began, self._asking.clock.monotonic())
        self._publish_end(outcome_of(error), began, counts_for_health=handling.counts_for_health)

    def _publish_end(self, outcome: str, began: float, *, counts_for_health: bool = True) -> None:
        entry = self.entry
        seconds = self._asking.clock.monotonic() - began
        self._asking.bus.publish(
            ProviderCallEnded(entry.provider, entry.model, outcome, seconds, counts_for_health)
        )

    async def _wait_for_retry(self, fault: ProviderFault, retries: int) -> bool:
        """Wait until the next attempt is due; whether there is to be one."""
        asking, terms, entry = self._asking, self._terms, self.entry
        clock, publish = asking.clock, asking.bus.publish
        decision = asking.retry.decide(
            fault,
            provider=entry.provider,
            retries=retries,
            left_s=terms.deadline - clock.monotonic(),
            patience_s=self._patience_s,
            is_breaker_open=self._breaker.state is State.OPEN,
        )
        if decision.kind is None or terms.grant is not None:
            return False
        if decision.no_retry is not None:
            publish(RetryRefused(entry.provider, entry.model, fault.code, decision.no_retry))
            return False
        publish(RetryPlanned(entry.provider, entry.model, fault.code, round(decision.wait_s, 3)))
        terms.progress.status(
            f"{entry.model} {_WHY_AGAIN[decision.kind]} ({fault.code}); asking again in "
            f"{decision.wait_s:.1f} s, retry {retries + 1}"
        )
        began = clock.monotonic()
        entry.doing, entry.doing_since = Stage.BACKOFF, began
        with terms.permits.waiting():
            await asyncio.sleep(decision.wait_s)
        entry.spend(Stage.BACKOFF, began, clock.monotonic())
        return True


class _DeltaTap:
    """Forwards streamed deltas to the caller, and tells the breaker when the first one arrives."""

    __slots__ = ("_attempt", "_on_delta", "_request")

    def __init__(self, request: Request, attempt: Attempt, on_delta: OnDelta | None) -> None:
        self._request = request
        self._attempt = attempt
        self._on_delta = on_delta

    def __call__(self, kind: DeltaKind, text: str) -> None:
        request = self._request
        if not request.answer_started:
            request.answer_started = True
            request.entry.doing = Stage.GENERATION
            request.entry.caller_saw_output = self._on_delta is not None
            self._attempt.answer_started()
        if self._on_delta is not None:
            self._on_delta(kind, text)
