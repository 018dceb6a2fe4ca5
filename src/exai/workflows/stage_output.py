"""What a stage answered, as its step keeps it."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from exai.storage.workflows.runs import Step
from exai.workflows.answers import Answer
from exai.workflows.citations import ShownFile, check

__all__ = ["StageOutput", "digest_of", "read_output", "written"]


class StageOutput(msgspec.Struct, frozen=True):
    """An answer as text, and the object that it was read from, where it was to be one."""

    model: str
    """Empty: nobody was asked."""
    text: str
    value: dict[str, Any] | None = None
    facts: dict[str, float] = {}
    """What conditions may ask for."""
    citations: dict[str, int] = {}
    """How many places it names, by what was found when they were compared with what was shown."""

    @classmethod
    def of(cls, model: str, text: str, value: object, shown: Sequence[ShownFile]) -> "StageOutput":
        """Make it of a model's answer, and of what the model was shown."""
        if not isinstance(value, Answer):
            return cls(model, text)
        checked = value.checked(partial(check, shown=shown))
        return cls(
            model,
            checked.text(),
            msgspec.to_builtins(checked),
            dict(checked.facts()),
            dict(Counter(checked.states())),
        )


def written(output: StageOutput) -> str:
    """Return the JSON that a step keeps."""
    return msgspec.json.encode(output).decode()


def read_output(step: Step) -> StageOutput:
    """Read what a step keeps."""
    return msgspec.json.decode(step.output or "", type=StageOutput)


def digest_of(text: str) -> str:
    """Return by what a question is known as the same."""
    return hashlib.sha256(text.encode()).hexdigest()
