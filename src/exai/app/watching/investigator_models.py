"""How the investigator asks: calls of its own caller through the dispatcher, granted by its own purse."""

from collections.abc import Mapping
from typing import Any, Literal

from exai import config
from exai.auth.scopes import MODELS
from exai.callers import Caller, Door
from exai.conversations.estimates import estimate_tokens
from exai.costs import Usage
from exai.dispatch.dispatcher import Dispatcher
from exai.dispatch.failures import ERROR_KEY
from exai.dispatch.purses import BudgetSpent, Purse
from exai.error_tracking.investigation.asking import Reply
from exai.error_tracking.investigation.roles import Candidate
from exai.errors import CircuitOpen, Overloaded, ProviderUnconfigured, Stopping, ToolFault
from exai.events.bus import EventBus
from exai.events.events import CallEnded
from exai.routing.request import Asking
from exai.routing.router import Choice
from exai.storage.calls.budgets import Limit
from exai.tools.base import ToolAnswer

__all__ = ["INVESTIGATOR", "PURSE", "InvestigatorModels", "investigator_purses"]

INVESTIGATOR = Caller("exai:investigator", Door.INSIDE, client="exai", scopes=frozenset({MODELS}))
PURSE = "investigation"

USUAL_ANSWER = 2_000
"""Tokens, what a model thinks included."""
MOST_ANSWER = 8_000
_HOUR_S, _DAY_S = 3_600.0, 86_400.0
_UNAVAILABLE = frozenset({CircuitOpen.code, Overloaded.code})


def investigator_purses(settings: config.Investigation) -> dict[str, Purse]:
    """Return the purse of the investigator, by its subject; it grants nothing where investigations are off."""
    limits = (
        Limit(_HOUR_S, requests=0 if settings.mode == "off" else settings.hourly_requests),
        Limit(_DAY_S, usd=settings.daily_usd),
    )
    return {INVESTIGATOR.subject: Purse(PURSE, "investigation.*", settings.request_usd, limits)}


class InvestigatorModels:
    """See `ModelAsking`."""

    def __init__(
        self, dispatcher: Dispatcher, asking: Asking, settings: config.Investigation, bus: EventBus
    ) -> None:
        self._dispatcher = dispatcher
        self._asking = asking
        self._settings = settings
        self._ended: CallEnded | None = None
        """The latest call of the investigator; it makes one at a time."""
        bus.watch(self._note, CallEnded)

    def _note(self, event: CallEnded) -> None:
        if event.caller.subject == INVESTIGATOR.subject:
            self._ended = event

    def candidates(self) -> tuple[Candidate, Candidate]:
        """See `ModelAsking.candidates`."""
        return self._candidate(self._settings.model), self._candidate(self._settings.second_model)

    def is_crowded(self) -> bool:
        """See `ModelAsking.is_crowded`."""
        return self._asking.admission.waiting > 0

    def expected_usd(self, model: Candidate, prompt: str) -> float:
        """See `ModelAsking.expected_usd`."""
        chosen = self._chosen(model.asked_for)
        usage = Usage(input=estimate_tokens(prompt), output=USUAL_ANSWER)
        is_emulated = model.provider in self._asking.emulated
        return 0.0 if is_emulated or isinstance(chosen, str) else chosen.model.cost(usage).known_usd

    async def ask(self, model: Candidate, prompt: str) -> Reply:
        """See `ModelAsking.ask`.

        Raises:
            Stopping: the process ends.
        """
        self._ended = None
        arguments = {
            "prompt": prompt,
            "model": model.name,
            "fallback_models": [],
            "effort": "low",
            "max_answer_tokens": MOST_ANSWER,
        }
        answer = await self._dispatcher.call("chat", arguments, caller=INVESTIGATOR)
        error: Mapping[str, Any] = (answer.meta or {}).get(ERROR_KEY, {})
        if error.get("code") == Stopping.code:
            raise Stopping(answer.text)
        return self._reply(model, answer, error)

    def _reply(self, model: Candidate, answer: ToolAnswer, error: Mapping[str, Any]) -> Reply:
        requests = () if self._ended is None else self._ended.requests
        usages = [request.usage for request in requests if request.usage is not None]
        is_known = all(not request.without_price and not request.unreported for request in requests)
        is_emulated = any(request.emulated for request in requests)
        usd = sum(0.0 if request.emulated else request.cost_usd or 0.0 for request in requests)
        return Reply(
            end=_end_of(answer, error),
            text=str((answer.structured or {}).get("answer", "")) if not answer.is_error else answer.text,
            name=(self._ended and self._ended.model) or model.name,
            provider=(self._ended and self._ended.provider) or model.provider,
            tokens=sum((usage.input or 0) + (usage.output or 0) for usage in usages),
            usd=usd if is_known or is_emulated else None,
            emulated=is_emulated,
            retry_after_s=float(error.get("retry_after_s") or 0.0),
        )

    def _candidate(self, asked_for: str) -> Candidate:
        chosen = self._chosen(asked_for)
        if isinstance(chosen, str):
            return Candidate(asked_for, asked_for, "", chosen, ever=False)
        model = chosen.model
        breaker = self._asking.breakers.find(model.provider, model.name)
        why_not = ""
        if breaker is not None and not breaker.available:
            why_not = f"is not asked now, as {model.provider} fails ({breaker.cause})"
        return Candidate(asked_for, model.name, model.provider, why_not)

    def _chosen(self, asked_for: str) -> Choice | str:
        """Resolve a name by the catalogue; else say why it cannot be asked."""
        try:
            return self._asking.router.resolve(asked_for, fallback=())
        except ProviderUnconfigured:
            return "has no key"
        except ToolFault as fault:
            return f"cannot be asked: {fault}"


def _end_of(
    answer: ToolAnswer, error: Mapping[str, Any]
) -> Literal["answered", "unavailable", "spent", "failed"]:
    if not answer.is_error:
        return "answered"
    code = error.get("code")
    if code == BudgetSpent.code:
        return "spent"
    return "unavailable" if code in _UNAVAILABLE else "failed"
