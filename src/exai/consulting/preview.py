"""What would be sent, to whom, and for how much, while nothing is sent."""

from collections.abc import Sequence
from typing import Any

import msgspec

from exai.consulting.budgets import ANSWER_TOKENS, estimate
from exai.consulting.consultant import Consultant, Fitted
from exai.consulting.context import CallContext
from exai.consulting.inquiry import Inquiry
from exai.files.paths.opening import shown

__all__ = ["preview", "preview_of_one"]

LONGEST_DATA = 200
"""Characters of a picture or file inside a request that are shown."""


async def preview_of_one(
    consultant: Consultant, inquiry: Inquiry, context: CallContext
) -> tuple[str, str, str | None]:
    """Return the model that an inquiry would go to, its request in words, and why it is not the one that was named.

    Raises:
        ToolFault: it could not be asked.
    """
    prepared = await consultant.prepare(inquiry, context)
    choice = consultant.choose(prepared)
    fitted = await consultant.fit(prepared, choice.model, context)
    return choice.model.name, await preview(consultant, [fitted], context), choice.reason


async def preview(consultant: Consultant, prompts: Sequence[Fitted], context: CallContext) -> str:
    """Write out the requests of prompts, with their tokens and prices.

    Raises:
        AbilityMissing: a model cannot do what its prompt needs.
    """
    total, is_priced, parts = 0.0, True, []
    for fitted in prompts:
        model = fitted.prompt.model
        answer = min(fitted.prompt.max_output_tokens or ANSWER_TOKENS, ANSWER_TOKENS)
        usd = estimate(fitted)
        total, is_priced = total + (usd or 0.0), is_priced and usd is not None
        price = "no known price" if usd is None else f"about ${usd:.6f} with an answer of {answer:,} tokens"
        body = msgspec.json.decode(await consultant.request_of(fitted, context))
        request = msgspec.json.format(msgspec.json.encode(_shortened(body)), indent=1).decode()
        parts.append(
            f"{model.name} at {model.provider}: {fitted.fit.tokens:,} tokens, {price}\n```json\n{request}\n```"
        )
    count = "1 request" if len(prompts) == 1 else f"{len(prompts)} requests"
    price = f"about ${total:.6f}" if is_priced else "of unknown price"
    return "\n\n".join([f"Nothing was sent. It would be {count}, {price}.{_missing(prompts)}", *parts])


def _missing(prompts: Sequence[Fitted]) -> str:
    """Name the documents that a provider would be sent first."""
    unread = {each.name: None for fitted in prompts for each in fitted.prepared.material.gathered.unread}
    if not unread:
        return ""
    names = ", ".join(f"`{shown(name)}`" for name in unread)
    return f" What a provider would read or be sent first is missing below, and in tokens and price: {names}."


def _shortened(value: Any) -> Any:
    """Return a body with the data of pictures and files cut."""
    if isinstance(value, dict):
        return {name: _shortened(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_shortened(part) for part in value]
    if isinstance(value, str) and value.startswith("data:") and len(value) > LONGEST_DATA:
        return f"{value[:LONGEST_DATA]}… ({len(value)} characters)"
    return value
