"""The object that a model answers with: read and checked.

What is read is one JSON object, alone or with text around it, such as a code fence. Whatever else a model may write is
no object here: nothing is guessed, completed or converted.
"""

import json
from typing import TypeVar

import msgspec

__all__ = ["UnreadableAnswerError", "read_answer"]

T = TypeVar("T", bound=msgspec.Struct)

MOST_BRACES = 16
"""How many braces of a text may begin its object."""

MOST_OF_FAULT = 300
"""Characters: an error may repeat what the model wrote."""

_scan = json.JSONDecoder().raw_decode


class UnreadableAnswerError(ValueError):
    """An answer is no object of its type; the sentence says where and why, for the model that wrote it."""


def read_answer(text: str, kind: type[T]) -> T:
    """Read the object that is the answer, or stands in it.

    Raises:
        UnreadableAnswerError: there is none, there are several, or it does not fit.
    """
    start, end = _place_of_object(text)
    try:
        return msgspec.json.decode(text[start:end], type=kind)
    except msgspec.ValidationError as error:
        raise UnreadableAnswerError(f"it does not fit the schema: {str(error)[:MOST_OF_FAULT]}") from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise UnreadableAnswerError("its JSON has a value that no JSON may have") from None


def _place_of_object(text: str) -> tuple[int, int]:
    """Return where the one object of a text begins and ends.

    A brace that no name follows, as in prose, begins none. One that breaks off is not looked into: what is inside of
    it is a part of the answer, and would be taken for the whole.

    Raises:
        UnreadableAnswerError: there is none, or there are several.
    """
    places = []
    at = text.find("{")
    for _ in range(MOST_BRACES):
        if at < 0:
            break
        try:
            _, end = _scan(text, at)
            places.append((at, end))
        except json.JSONDecodeError as error:
            if text[at + 1 : error.pos].strip():
                place = f"line {error.lineno}, column {error.colno}"
                raise UnreadableAnswerError(
                    f"its JSON is wrong or breaks off at {place}: {error.msg}"
                ) from None
            end = at + 1
        except (ValueError, RecursionError):
            raise UnreadableAnswerError("its JSON is nested too deeply, or has too long a number") from None
        at = text.find("{", end)
    if len(places) == 1:
        return places[0]
    raise UnreadableAnswerError(
        f"it has {len(places) or 'no'} JSON object{'s' if places else ''} instead of one"
    )
