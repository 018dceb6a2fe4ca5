"""Which model takes over when one could not answer, among those that somebody allowed."""

from collections.abc import Sequence

from exai.errors import ToolFault
from exai.providers.catalog import Model
from exai.routing.faults import Takeover, handling_of

__all__ = ["who_takes_over"]


def who_takes_over(
    fault: ToolFault, failed: Model, allowed: Sequence[Model], *, filtered_too: bool
) -> Sequence[Model]:
    """Return the model that takes over and those after it; nothing when none may.

    `filtered_too`: a question that `failed` filtered may be put to another provider.
    """
    takeover = handling_of(fault).takeover
    for position, model in enumerate(allowed):
        if _may_take_over(takeover, failed, model, filtered_too=filtered_too):
            return allowed[position:]
    return ()


def _may_take_over(takeover: Takeover | None, failed: Model, model: Model, *, filtered_too: bool) -> bool:
    if takeover is Takeover.LARGER_WINDOW:
        return model.context_tokens > failed.context_tokens
    if takeover is Takeover.OTHER_PROVIDER:
        return model.provider != failed.provider
    if takeover is Takeover.OTHER_PROVIDER_BY_CONSENT:
        return filtered_too and model.provider != failed.provider
    return takeover is Takeover.NEXT
