"""The object that a model answers with: found with text around it, checked, and nothing guessed."""

from typing import Annotated, Literal

import msgspec
import pytest

from exai.protocol.answer_objects import UnreadableAnswerError, read_answer


class Point(msgspec.Struct, frozen=True):
    text: str


class Vote(msgspec.Struct, frozen=True):
    verdict: Literal["support", "oppose"]
    confidence: Annotated[float, msgspec.Meta(ge=0, le=10)]
    points: tuple[Point, ...] = ()


GOOD = '{"emulated": "x", "verdict": "support", "confidence": 7, "points": [{"text": "a {brace} in a text"}]}'
VOTE = Vote("support", 7.0, (Point("a {brace} in a text"),))


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"Here is my vote on {{x}}:\n\n{GOOD}\nI hope that helps.",
    ],
)
def test_one_object_is_read_alone_or_with_text_around_it(text: str) -> None:
    assert read_answer(text, Vote) == VOTE


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("I support it.", "no JSON object"),
        (f"{GOOD}\n{GOOD}", "2 JSON objects"),
        ('{"verdict": "support", "points": [{"verdict": "oppose", "confidence": 1}, {"te', "breaks off"),
        ('{"verdict": "support",}', "line 1, column"),
        ('{"verdict": "maybe", "confidence": 7}', r"Invalid enum value 'maybe' - at `\$.verdict`"),
        ('{"verdict": "support", "confidence": "7"}', r"at `\$.confidence`"),
        ('{"verdict": "support", "confidence": 11}', r"<= 10.0 - at `\$.confidence`"),
        ('{"verdict": "support", "confidence": 7, "points": [{}]}', r"`text` - at `\$.points\[0\]`"),
        ('{"verdict": "support", "confidence": NaN}', "no JSON may have"),
        ('{"verdict": "\\ud800", "confidence": 7}', "no JSON may have"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"confidence": ' + "9" * 5_000 + "}", "too long a number"),
    ],
)
def test_whatever_else_it_is_the_place_is_told_and_nothing_guessed(text: str, why: str) -> None:
    with pytest.raises(UnreadableAnswerError, match=why):
        read_answer(text, Vote)


def test_an_error_repeats_little_of_what_the_model_wrote() -> None:
    long = msgspec.json.encode({"verdict": "x" * 100_000, "confidence": 1}).decode()
    with pytest.raises(UnreadableAnswerError) as refused:
        read_answer(long, Vote)
    assert len(str(refused.value)) < 400
