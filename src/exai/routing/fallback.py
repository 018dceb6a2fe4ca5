"""Which model takes over when one could not answer, among those that somebody allowed: a table, no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from exai.errors import (
    AbilityMissing,
    CircuitOpen,
    ContentFiltered,
    ContextOverflow,
    ProviderDenied,
    ProviderFailed,
    ProviderOverloaded,
    ProviderSilent,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnauthorized,
    ProviderUnconfigured,
    ProviderUnreachable,
    QuotaExhausted,
    ToolFault,
)
from exai.providers.catalog import Model

__all__ = ["RULES", "Rule", "Tried", "told", "who_takes_over"]


class Rule(StrEnum):
    """Which of the allowed models a failure leads to."""

    NEXT = "next"
    LARGER_WINDOW = "larger_window"
    OTHER_PROVIDER = "other_provider"
    OTHER_PROVIDER_BY_CONSENT = "other_provider_by_consent"
    """Only where the chain says that a filtered question may be put to another provider."""


RULES: Mapping[type[ToolFault], Rule] = {
    ProviderThrottled: Rule.NEXT,
    ProviderOverloaded: Rule.NEXT,
    ProviderUnreachable: Rule.NEXT,
    ProviderTimeout: Rule.NEXT,
    ProviderSilent: Rule.NEXT,
    ProviderFailed: Rule.NEXT,
    CircuitOpen: Rule.NEXT,
    QuotaExhausted: Rule.NEXT,
    ProviderDenied: Rule.NEXT,
    AbilityMissing: Rule.NEXT,
    ProviderUnauthorized: Rule.OTHER_PROVIDER,
    ProviderUnconfigured: Rule.OTHER_PROVIDER,
    ContextOverflow: Rule.LARGER_WINDOW,
    ContentFiltered: Rule.OTHER_PROVIDER_BY_CONSENT,
}
"""Whatever is absent ends the call: another model would not mend it, or the answer had begun."""


@dataclass(slots=True)
class Tried:
    """One model of a call, and what became of it."""

    model: str
    provider: str
    outcome: str = "not_asked"
    """`ok`, or the code of its last failure."""
    requests: int = 0
    """Sent to the provider; 0 where the failure came before."""


def told(tried: Sequence[Tried]) -> list[dict[str, Any]]:
    """As answers and errors tell it."""
    return [
        {"model": each.model, "provider": each.provider, "outcome": each.outcome, "requests": each.requests}
        for each in tried
    ]


def who_takes_over(
    fault: ToolFault, failed: Model, allowed: Sequence[Model], *, filtered_too: bool
) -> Sequence[Model]:
    """The model that takes over and those after it; empty when nobody does.

    `filtered_too`: a question that `failed` filtered may be put to another provider.
    """
    rule = RULES.get(type(fault))
    for position, model in enumerate(allowed):
        if rule is Rule.NEXT:
            fits = True
        elif rule is Rule.LARGER_WINDOW:
            fits = model.context_tokens > failed.context_tokens
        elif rule is Rule.OTHER_PROVIDER:
            fits = model.provider != failed.provider
        else:
            fits = (
                rule is Rule.OTHER_PROVIDER_BY_CONSENT and filtered_too and model.provider != failed.provider
            )
        if fits:
            return allowed[position:]
    return ()
