"""Answers that are objects: how they are asked for, read, checked, repaired once, and kept as text otherwise."""

from typing import Annotated, Literal

import msgspec
import pytest

from exai.consulting.structured import (
    Structured,
    ask_for,
    schema_of,
    thoughts_alone,
)
from exai.errors import DeadlineExceeded, ProviderFailed
from exai.messages import Message, Role
from exai.providers.base import DeltaKind, Prompt
from support.desks import Desk
from support.scripted import MODEL, ScriptedProvider, ScriptedRouter, Step, asker, asking


class Point(msgspec.Struct, frozen=True):
    text: str
    line: int | None = None


class Vote(msgspec.Struct, frozen=True):
    verdict: Annotated[Literal["support", "oppose"], msgspec.Meta(description="Your answer")]
    confidence: Annotated[float, msgspec.Meta(ge=0, le=10, description="From 0 to 10")]
    points: tuple[Point, ...] = ()


class Inner(msgspec.Struct, frozen=True):
    text: str
    rating: Literal[1, 2, 3]
    place: int | str | None = None


class Answer(msgspec.Struct, frozen=True):
    """What providers are known to be particular about: choices, alternatives, lists of objects."""

    kind: Literal["bug", "style"]
    parts: list[Inner]
    either: Annotated[int | str, msgspec.Meta(description="A number or a name")]
    best: Inner | None = None
    note: str | None = None


PROMPT = Prompt(model=MODEL, messages=(Message(Role.SYSTEM, "Vote."), Message(Role.USER, "Owls?")))
GOOD = '{"emulated": "x", "verdict": "support", "confidence": 7, "points": [{"text": "a {brace} in a text"}]}'
VOTE = Vote("support", 7.0, (Point("a {brace} in a text"),))


async def ask_scripted(*steps: Step) -> tuple[Structured[Vote], ScriptedProvider]:
    provider = ScriptedProvider(*steps)
    return await ask_for(Vote, PROMPT, asker(asking(ScriptedRouter(provider)))), provider


def test_a_type_is_described_in_what_every_provider_takes() -> None:
    schema = schema_of(Vote)
    assert schema.name == "vote"
    assert schema.schema == {
        "type": "object",
        "properties": {
            "verdict": {"type": "string", "enum": ["oppose", "support"], "description": "Your answer"},
            "confidence": {"type": "number", "description": "From 0 to 10"},
            "points": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"text": {"type": "string"}, "line": {"type": "integer"}},
                    "required": ["text"],
                },
            },
        },
        "required": ["verdict", "confidence"],
    }


def test_a_type_that_anything_would_fit_is_refused() -> None:
    class Anything(msgspec.Struct):
        note: str = ""

    with pytest.raises(ValueError, match="Anything needs a field"):
        schema_of(Anything)


async def test_a_good_answer_is_asked_for_once() -> None:
    structured, provider = await ask_scripted(GOOD)
    assert (structured.value, structured.fault, structured.repaired, structured.note) == (
        VOTE,
        None,
        False,
        None,
    )
    assert [prompt.answer_schema for prompt in provider.asked] == [schema_of(Vote)]


async def test_an_answer_that_does_not_fit_goes_back_once_with_the_place() -> None:
    bad = '{"verdict": "support"}'
    structured, provider = await ask_scripted(bad, GOOD)
    assert (structured.value, structured.repaired, structured.completion.text) == (VOTE, True, GOOD)
    first, second = provider.asked
    assert second.answer_schema == first.answer_schema
    *before, returned, asked = second.messages
    assert tuple(before) == first.messages
    assert (returned.role, returned.text) == (Role.ASSISTANT, bad)
    assert "missing required field `confidence`" in asked.text


async def test_two_answers_that_do_not_fit_leave_the_text_of_the_first() -> None:
    structured, provider = await ask_scripted("I support it.", "{}")
    assert len(provider.asked) == 2
    assert (structured.value, structured.completion.text) == (None, "I support it.")
    assert structured.note is not None
    assert structured.note.startswith(
        "The answer is text and no object: it has no JSON object instead of one;"
    )
    assert "asked again: it does not fit" in structured.note


@pytest.mark.parametrize("failure", [ProviderFailed("broke"), DeadlineExceeded("late")])
async def test_an_answer_that_was_paid_for_is_given_though_its_repair_fails(failure: Exception) -> None:
    structured, _ = await ask_scripted("I support it.", failure)
    assert (structured.value, structured.completion.text) == (None, "I support it.")
    assert structured.fault is not None
    assert f"({failure.code})" in structured.fault  # type: ignore[attr-defined]


async def test_a_question_that_is_not_answered_fails_as_any() -> None:
    with pytest.raises(ProviderFailed):
        await ask_scripted(ProviderFailed("broke"))


async def test_its_progress_is_what_the_model_thinks() -> None:
    told: list[tuple[DeltaKind, str]] = []
    listener = thoughts_alone(lambda kind, text: told.append((kind, text)))
    assert listener is not None
    listener(DeltaKind.REASONING, "hm")
    listener(DeltaKind.TEXT, '{"verd')
    assert told == [(DeltaKind.REASONING, "hm")]
    assert thoughts_alone(None) is None


@pytest.mark.parametrize("model", ["glm-5.3", "kimi-k3", "local/tiny"])
async def test_every_provider_takes_the_request_and_answers_with_an_object(desk: Desk, model: str) -> None:
    async def ask(prompt: Prompt, _: object) -> object:
        provider = desk.router.providers[prompt.model.provider]
        return await provider.complete(prompt, deadline=desk.clock.monotonic() + 30)

    structured = await ask_for(Answer, desk.prompt(model), ask)  # type: ignore[arg-type]
    assert isinstance(structured.value, Answer)
    assert structured.completion.text.startswith('{"emulated":')
