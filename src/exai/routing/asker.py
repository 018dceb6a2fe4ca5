"""How a call asks models: requests of one, and the next model by consent.

A `ModelAsker` belongs to a call, or to a part of it (`branch`, and the turns of `along`), and may be used by any number
of tasks at once: what is known of one request is in its `Request` and in the ledger, and nothing is kept here. An
answer that began is never asked for again, neither of the same model nor of another.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import msgspec

from exai.callers import Caller
from exai.costs import Cost, Usage
from exai.errors import ProviderFault, ToolFault
from exai.events.events import FellBack, OtherModelAnswered, RequestRecovered
from exai.events.requests import Purpose
from exai.providers.base import Charges, Completion, OnDelta, Prompt
from exai.providers.catalog import Model
from exai.providers.search import Found, SearchEngine, SearchQuery
from exai.routing.admission import CallPermits
from exai.routing.breaker import Attempt
from exai.routing.echoed_models import is_other_model
from exai.routing.fallback import who_takes_over
from exai.routing.faults import handling_of
from exai.routing.ledger import Entry, Ledger, ModelTurn, Stage
from exai.routing.progress import Progress, SilentProgress
from exai.routing.request import Asking, CallTerms, Request
from exai.routing.router import Choice

__all__ = ["WEB_SEARCH", "ModelAsker"]

T = TypeVar("T")

WEB_SEARCH = "web-search"
"""The model's name, in permits, breakers, events and the ledger, of a search without a model."""

_FREE_SEARCH = Cost({"search": 0.0})
_UNREPORTED_SEARCH = Cost(
    unknown=("The provider did not say what it found, so whether a search is charged.",)
)

PATIENCE_S = float("inf")
PATIENCE_WITH_FALLBACK_S = 5.0
"""Longest wait for a model while another one may take over."""


class ModelAsker:
    """Asks models on behalf of one call; `ledger` has what was asked through it."""

    def __init__(
        self,
        asking: Asking,
        terms: CallTerms,
        ledger: Ledger | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._asking = asking
        self._patience_s = patience_s
        self.terms = terms
        self.ledger = Ledger(asking.clock) if ledger is None else ledger

    @classmethod
    def for_call(
        cls, asking: Asking, caller: Caller, deadline: float, progress: Progress | None = None
    ) -> "ModelAsker":
        """Make the asker of a call; `deadline` in `Clock.monotonic` seconds."""
        permits = CallPermits(asking.admission)
        return cls(asking, CallTerms(caller, deadline, permits, progress or SilentProgress()))

    def branch(self) -> "ModelAsker":
        """Make an asker for a part of the call, whose ledger has that part's requests alone."""
        return ModelAsker(self._asking, self.terms, self.ledger.branch(), self._patience_s)

    def __call__(self, prompt: Prompt, on_delta: OnDelta | None = None) -> Coroutine[Any, Any, Completion]:
        """Ask the prompt's model for one answer, again where its failure passes by itself.

        Raises:
            ProviderFault: the provider did not answer as asked.
            Overloaded: no permit for this model became free in time.
            DeadlineExceeded: the call's time is over.
        """
        if prompt.owner != self.terms.caller.subject:
            prompt = msgspec.structs.replace(prompt, owner=self.terms.caller.subject)
        model = prompt.model
        entry = self.ledger.open(Purpose.CHAT, model.provider, model.name)
        request = Request(self._asking, self.terms, entry, self._patience_s)
        provider = self._asking.router.providers[model.provider]
        clock = self._asking.clock

        async def send(attempt: Attempt) -> Completion:
            began, charges = clock.monotonic(), Charges()
            try:
                completion = await provider.complete(
                    prompt,
                    deadline=self.terms.deadline,
                    on_delta=request.tap(attempt, on_delta),
                    charges=charges,
                )
            finally:
                self._enter(entry, charges, model.cost)
            _spend_as_timed(entry, completion, began, clock.monotonic())
            names = (model.name, model.wire_name)
            if completion.echoed_model not in names and is_other_model(names, completion.echoed_model):
                self._asking.bus.publish(OtherModelAnswered(model.provider, model.name))
            return completion

        return request.answer(send)

    async def count_tokens(self, prompt: Prompt) -> int | None:
        """Return the provider's own count of a prompt; `None` where it has no counter, or it did not count.

        For a caller with a budget none is asked for: an estimate costs it no request.
        """
        model = prompt.model
        provider = self._asking.router.providers[model.provider]
        if self.terms.grant is not None or not provider.counts_tokens(prompt):
            return None
        entry = self.ledger.open(Purpose.COUNT, model.provider, model.name)
        clock, charges = self._asking.clock, Charges()
        try:
            with entry:
                return await provider.count_tokens(prompt, deadline=self.terms.deadline, charges=charges)
        except ProviderFault:
            return None  # an estimate will do
        finally:
            entry.attempts = charges.sent
            entry.spend(Stage.FIRST_TOKEN, entry.began, clock.monotonic())

    async def along(
        self, choice: Choice, answer: Callable[[Model, "ModelAsker"], Awaitable[T]]
    ) -> tuple[T, Choice]:
        """What `answer` makes of the chosen model; else of the first that may and can take over, and why it did.

        `answer` is given the model, and the asker through which everything of that model's turn is to be asked.

        Raises:
            ToolFault: of the chosen model, when none of the others could answer either; of a later one
                when its failure ends the call.
        """
        model, allowed = choice.model, choice.fallbacks
        first: ToolFault | None = None
        failures: list[tuple[Model, ToolFault]] = []
        turns = []
        while True:
            turn = self.ledger.turn(model.provider, model.name)
            turns.append(turn)
            patience_s = PATIENCE_WITH_FALLBACK_S if allowed else PATIENCE_S
            try:
                value = await answer(model, ModelAsker(self._asking, self.terms, turn, patience_s))
            except ToolFault as fault:
                turn.fail(fault.code)
                rest = _who_takes_over(fault, turn, model, allowed, filtered_too=choice.filtered_too)
                if not rest:
                    if first is None or handling_of(fault).takeover is None:
                        raise
                    raise first from fault
                first = first or fault
                failures.append((model, fault))
                taker, allowed = rest[0], tuple(rest[1:])
                self._say_who_takes_over(fault, model, taker)
                model = taker
            else:
                if not failures:
                    return value, choice
                for failed, failure in failures:
                    self._asking.bus.publish(RequestRecovered(failed.provider, failed.name, failure))
                return value, choice.answered_by(model, [turn.summary() for turn in turns])

    async def search(self, engine: SearchEngine, query: SearchQuery) -> Found:
        """Return what `engine` finds, asked again where its failure passes by itself.

        Raises:
            ProviderFault: the provider did not answer as asked.
            Overloaded: no permit became free in time.
            DeadlineExceeded: the call's time is over.
        """
        provider = engine.provider
        entry = self.ledger.open(Purpose.WEB_SEARCH, provider, WEB_SEARCH)
        clock = self._asking.clock

        async def send(_: Attempt) -> Found:
            began, charges = clock.monotonic(), Charges()
            try:
                found = await engine.search(query, deadline=self.terms.deadline, charges=charges)
            finally:
                self._enter(entry, charges, lambda _: _UNREPORTED_SEARCH)
            entry.spend(Stage.FIRST_TOKEN, began, clock.monotonic())
            if not charges.services:
                entry.bill.add(_FREE_SEARCH)
            return found

        return await Request(self._asking, self.terms, entry, PATIENCE_WITH_FALLBACK_S).answer(send)

    def _enter(self, entry: Entry, charges: Charges, price: Callable[[Usage], Cost]) -> None:
        """Enter what an attempt is charged for, however it ended; `price` is that of tokens, told or not."""
        entry.attempts += charges.sent
        bill = entry.bill
        if charges.usage is not None:
            bill.add(price(charges.usage), charges.usage)
        if charges.unreported:
            bill.unreported += charges.unreported
            bill.add(price(Usage()))
        for service, count in charges.services.items():
            bill.services[service] = bill.services.get(service, 0) + count
            bill.add(self._asking.router.fee(entry.provider, service).cost(count))

    def _say_who_takes_over(self, fault: ToolFault, failed: Model, taker: Model) -> None:
        self._asking.bus.publish(
            FellBack(failed.provider, failed.name, taker.provider, taker.name, fault.code)
        )
        self.terms.progress.status(f"{failed.name} cannot answer ({fault.code}); asking {taker.name} instead")


def _who_takes_over(
    fault: ToolFault, turn: ModelTurn, failed: Model, allowed: tuple[Model, ...], *, filtered_too: bool
) -> tuple[Model, ...]:
    """The models that are left; none once the caller has seen a part of an answer."""
    if turn.caller_saw_output:
        return ()
    return tuple(who_takes_over(fault, failed, allowed, filtered_too=filtered_too))


def _spend_as_timed(entry: Entry, completion: Completion, began: float, ended: float) -> None:
    """Lay the adapter's timings end to end into the time that the attempt took."""
    timings = completion.timings
    for stage, milliseconds in (
        (Stage.CONNECT, timings.connect_ms),
        (Stage.FIRST_TOKEN, timings.first_token_ms),
        (Stage.GENERATION, timings.generation_ms),
    ):
        until = min(ended, began + milliseconds / 1000)
        entry.spend(stage, began, until)
        began = until
