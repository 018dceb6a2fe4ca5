"""Answers that are objects: asked for by a schema, read, checked, and repaired once.

    asked → read → fits its type? ──yes──────────────────────────────────→ value
                        └─no→ sent back with the place of the error → fits? ─no→ the first text

The first text is kept, because it is what the model had to say; the second one is about its form.
"""

import re
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Generic, TypeVar

import msgspec

from exai.errors import ToolFault
from exai.messages import Message, Role
from exai.protocol.answer_objects import UnreadableAnswerError, read_answer
from exai.protocol.schemas import answer_schema
from exai.providers.base import AnswerSchema, Completion, DeltaKind, OnDelta, Prompt

__all__ = [
    "Ask",
    "Structured",
    "as_entry",
    "ask_for",
    "schema_of",
    "thoughts_alone",
]

T = TypeVar("T", bound=msgspec.Struct)

Ask = Callable[[Prompt, OnDelta | None], Awaitable[Completion]]
"""Asks for one answer: a `ModelAsker`, or what runs tools on the way."""

REPAIR = (
    "That answer cannot be used: {why}. Give the same answer again as one JSON object that fits the schema, and "
    "nothing else."
)

_NAME = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Structured(msgspec.Struct, Generic[T], frozen=True):
    """An answer that was to be an object."""

    completion: Completion
    """The answer that the value was read from; the first one where there is none."""
    value: T | None
    """`None`: the answer is its text and no more."""
    fault: str | None = None
    """Why there is no value."""
    repaired: bool = False
    """Whether the value is of the second answer."""

    @property
    def note(self) -> str | None:
        """Tell the caller that the answer is text, where it is."""
        return None if self.fault is None else f"The answer is text and no object: {self.fault}."


@cache
def schema_of(kind: type[msgspec.Struct]) -> AnswerSchema:
    """Return what a model is told of a type.

    Raises:
        ValueError: providers do not take such a type, or any object would fit it.
    """
    if all(not field.required for field in msgspec.structs.fields(kind)):
        raise ValueError(f"{kind.__name__} needs a field without a default, as any object would fit it")
    return AnswerSchema(_NAME.sub("_", kind.__name__).lower(), answer_schema(kind))


async def ask_for(kind: type[T], prompt: Prompt, ask: Ask, on_delta: OnDelta | None = None) -> Structured[T]:
    """Ask for an object, and once more where the answer is none.

    Raises:
        ToolFault: the first question was not answered.
    """
    prompt = msgspec.structs.replace(prompt, answer_schema=schema_of(kind))
    first = await ask(prompt, on_delta)
    try:
        return Structured(first, read_answer(first.text, kind))
    except UnreadableAnswerError as error:
        fault = str(error)
    returned = Message(Role.ASSISTANT, first.text, reasoning=first.reasoning)
    again = (*prompt.messages, returned, Message(Role.USER, REPAIR.format(why=fault)))
    try:
        second = await ask(msgspec.structs.replace(prompt, messages=again), on_delta)
        value = read_answer(second.text, kind)
    except ToolFault as failure:  # the first answer is paid for
        return Structured(first, None, f"{fault}; and asked again, the model failed ({failure.code})")
    except UnreadableAnswerError as error:
        return Structured(first, None, f"{fault}; asked again: {error}")
    notes = tuple(dict.fromkeys((*first.notes, *second.notes)))
    citations = tuple(dict.fromkeys((*first.citations, *second.citations)))
    completed = msgspec.structs.replace(second, notes=notes, citations=citations)
    return Structured(completed, value, repaired=True)


def thoughts_alone(on_delta: OnDelta | None) -> OnDelta | None:
    """Return a listener that is told what a model thinks, and not the JSON that it writes."""
    if on_delta is None:
        return None

    def told(kind: DeltaKind, text: str) -> None:
        if kind is DeltaKind.REASONING:
            on_delta(kind, text)

    return told


def as_entry(text: str) -> str:
    """Write a text of a model as an entry of a list; further lines stand behind `│`, so that none begins another."""
    return "\n│ ".join(line.rstrip() for line in text.strip().splitlines())
