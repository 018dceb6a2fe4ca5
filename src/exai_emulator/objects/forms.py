"""The forms in which a model may answer where an object is asked for."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from exai_emulator.calls import text_of
from exai_emulator.objects.making import broken, marked
from exai_emulator.objects.schemas import Schema, fits, placed_objects

__all__ = ["ObjectForm", "in_form"]

ObjectForm = Literal["valid", "violating", "fenced", "prose", "cut", "second_try"]
"""How an object is answered.

- `valid`: it fits the schema, and nothing stands around it.
- `violating`: its last required property is missing; where none may be, it stands in a list.
- `fenced`: it stands in a Markdown fence.
- `prose`: text stands before and after it.
- `cut`: the second half of it is missing, and the answer ends for its length.
- `second_try`: violating, until the request shows such an answer of the model.
"""


def in_form(
    value: dict[str, Any],
    form: ObjectForm,
    schema: Schema,
    model: str,
    messages: Sequence[Mapping[str, Any]],
) -> tuple[str, bool]:
    """The text of an answer to `messages`, and whether it ends in the middle."""
    if form == "violating" or (form == "second_try" and not _shows_a_violation(messages, schema)):
        return _text(broken(value, schema, model)), False
    text = _text(marked(value, schema, model))
    if form == "fenced":
        return f"```json\n{text}\n```", False
    if form == "prose":
        return f"[emulated {model}] Here is the object:\n\n{text}\n\nThat is all of it.", False
    return (text[: len(text) // 2], True) if form == "cut" else (text, False)


def _shows_a_violation(messages: Sequence[Mapping[str, Any]], schema: Schema) -> bool:
    """Whether the last answer, or the last user message, holds an object of the model that breaks the schema."""
    for role in ("assistant", "user"):
        texts = [text_of(message.get("content")) for message in messages if message.get("role") == role]
        text = texts[-1] if texts else ""
        for start, value in placed_objects(text):
            is_own = role == "assistant" or "emulated" in value or "[emulated " in _text(value)
            is_listed = start > 0 and text[start - 1] == "["
            if is_own and (is_listed or not fits(value, schema, schema)):
                return True
    return False


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
