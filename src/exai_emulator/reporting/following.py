"""The persona `follower`: of the options of a vote it takes the one that the request names most."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from exai_emulator.calls import text_of
from exai_emulator.objects.schemas import Schema, list_at, mapping_at, placed_objects, resolved

__all__ = ["followed", "vote_of"]


def vote_of(schema: Schema) -> tuple[str, tuple[str, ...]] | None:
    """The property of a schema that is the vote, and its options: the first enumeration of texts."""
    for name, part in mapping_at(resolved(schema, schema), "properties").items():
        options = list_at(resolved(part, schema), "enum") if isinstance(part, dict) else []
        texts = tuple(option for option in options if isinstance(option, str))
        if len(texts) > 1:
            return name, texts
    return None


def followed(
    options: Sequence[str], name: str, messages: Sequence[Mapping[str, Any]], own: str | None
) -> str:
    """The option that the last user message names most; of none or several, its vote of before, else `own`."""
    last = next(
        (text_of(each.get("content")) for each in reversed(messages) if each.get("role") == "user"), ""
    )
    counts = {
        option: len(re.findall(rf"(?<!\w){re.escape(option)}(?!\w)", last, re.IGNORECASE))
        for option in options
    }
    most = max(counts.values(), default=0)
    leading = [option for option, count in counts.items() if count == most]
    if most and len(leading) == 1:
        return leading[0]
    earlier = [
        value[name]
        for message in messages
        if message.get("role") == "assistant"
        for _, value in placed_objects(text_of(message.get("content")))
        if value.get(name) in options
    ]
    return earlier[-1] if earlier else own or options[0]
