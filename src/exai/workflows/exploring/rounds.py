"""Rounds of exploring, as steps keep them, and as the model is shown them again."""

from collections.abc import Iterable, Mapping

import msgspec

from exai.evidence.pieces import block
from exai.messages import Message, Role, ToolCall
from exai.providers.base import Completion
from exai.storage.workflows.evidence import EvidenceRow
from exai.workflows.gathering.ledger import piece_of

__all__ = ["AnsweredCall", "Explored", "Round", "transcript"]


class AnsweredCall(msgspec.Struct, frozen=True):
    """A call of a model, and what it was answered."""

    id: str
    name: str
    arguments: str
    rows: tuple[int, ...] = ()
    """Numbers of the pieces that it was shown."""
    sentence: str = ""
    """What it was told beside them, in our words."""


class Round(msgspec.Struct, frozen=True):
    """One request, and what was looked at for it."""

    model: str
    text: str
    reasoning: str | None
    calls: tuple[AnsweredCall, ...] = ()
    """None: the model asked for nothing more."""
    last: int = 0
    """The last number that was given to a piece so far."""

    @classmethod
    def of(cls, completion: Completion, calls: Iterable[AnsweredCall], last: int) -> "Round":
        """Make it of what a model answered."""
        return cls(completion.model, completion.text, completion.reasoning, tuple(calls), last)

    @property
    def rows(self) -> tuple[int, ...]:
        """What it added."""
        return tuple(number for call in self.calls for number in call.rows)


class Explored(msgspec.Struct, frozen=True):
    """What exploring came to."""

    rounds: int
    """How many added something."""
    why: str
    """Why it ended, as a sentence for who reads the report."""
    model: str | None = None
    note: str | None = None
    """What of it is not as usual."""


def transcript(rounds: Iterable[Round], rows: Mapping[int, EvidenceRow]) -> tuple[Message, ...]:
    """Return the messages of rounds: what the model called, and what it was answered."""
    messages: list[Message] = []
    for each in rounds:
        calls = tuple(ToolCall(call.id, call.name, call.arguments) for call in each.calls)
        messages.append(Message(Role.ASSISTANT, each.text, reasoning=each.reasoning, tool_calls=calls))
        messages += [
            Message(Role.TOOL, _told(answered, rows), answers=call)
            for call, answered in zip(calls, each.calls, strict=True)
        ]
    return tuple(messages)


def _told(call: AnsweredCall, rows: Mapping[int, EvidenceRow]) -> str:
    blocks = [block(f"E{number}", piece_of(rows[number])) for number in call.rows]
    return "".join([*blocks, call.sentence])
