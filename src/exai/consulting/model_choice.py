"""Which model an inquiry goes to: the one it names, else its conversation's, else the configured default."""

import msgspec

from exai.consulting.inquiry import Inquiry
from exai.conversations.conversations import Conversation
from exai.errors import AbilityMissing, ProviderUnconfigured, UnknownModel
from exai.routing.router import Choice, ModelRouter

__all__ = ["choose_model"]


def choose_model(
    router: ModelRouter,
    inquiry: Inquiry,
    conversation: Conversation,
    *,
    has_images: bool,
    kinds: tuple[str, ...] = (),
) -> Choice:
    """Choose the model, and who may take over; `kinds` are those of files that it must be shown as they are.

    Raises:
        ToolFault: no model that was asked for can answer.
    """

    def resolve(name: str | None, *, kept: bool = False) -> Choice:
        return router.resolve(
            name,
            images=has_images,
            kinds=kinds,
            web_search=inquiry.web_search,
            effort=inquiry.effort,
            fallback=inquiry.fallback_models,
            kept=kept,
        )

    before = conversation.last_model
    if inquiry.model is not None or before is None:
        return resolve(inquiry.model)
    try:
        return resolve(before, kept=True)
    except (UnknownModel, AbilityMissing, ProviderUnconfigured) as fault:
        why = f"No model was named, and this conversation's {before} cannot answer: {fault}"
        return msgspec.structs.replace(resolve(None), reason=why)
