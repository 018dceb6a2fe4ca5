"""One question that a model answered, and how it came about."""

from collections.abc import Iterator
from typing import TypeVar

import msgspec

from exai.consulting.inquiry import Inquiry
from exai.consulting.material import ShownMaterial
from exai.consulting.recording import Recording
from exai.consulting.results import Findings
from exai.consulting.structured import Structured
from exai.consulting.window import Fit
from exai.costs import Cost, Usage
from exai.providers.base import Completion, Prompt
from exai.routing.ledger import Tried
from exai.routing.router import AUTO, Choice

__all__ = ["Consultation"]

T = TypeVar("T", bound=msgspec.Struct)


class Consultation(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, and what became of its exchange."""

    inquiry: Inquiry
    material: ShownMaterial
    choice: Choice
    """The model that answered, and why it is not the one that was asked for."""
    fit: Fit
    prompt: Prompt
    completion: Completion
    structured: Structured[msgspec.Struct] | None = None
    """What an inquiry for an object brought; `None`: it asked for text."""
    recording: Recording
    exchanges_remaining: int
    tried: tuple[Tried, ...]
    """The models that were to answer, in turn."""
    usage: Usage
    cost: Cost

    def value_as(self, kind: type[T]) -> T | None:
        """Return the object that the answer is; `None` where it is text and no more."""
        value = None if self.structured is None else self.structured.value
        return value if isinstance(value, kind) else None

    @property
    def conversation_id(self) -> str | None:
        """What goes on with it; `None`: there is no conversation to go on with."""
        return self.recording.conversation_id

    @property
    def findings(self) -> Findings:
        """What the journal keeps of it."""
        return Findings(
            provider=self.completion.provider,
            model_used=self.completion.model,
            model_reason=self.choice.reason,
            conversation_id=self.conversation_id,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not as usual, such as what was adjusted, cut or left out, in sentences for the caller."""
        return (*self.completion.notes, *self._own_notes())

    @property
    def _named_another(self) -> bool:
        """Whether the caller named a model, and not by the name of the one that answered."""
        named = self.choice.model_requested
        return named is not None and named.strip().casefold() not in {AUTO, self.completion.model.casefold()}

    def _own_notes(self) -> Iterator[str]:
        if self.completion.finish_reason == "length" and not self.completion.cut_short:
            yield "The answer was cut at its token cap. Ask to go on, or raise max_answer_tokens."
        if self.structured is not None and self.structured.note is not None:
            yield self.structured.note
        if self.recording.not_kept is not None:
            yield self.recording.not_kept
        elif self.inquiry.records and self.exchanges_remaining == 0:
            yield "This was the conversation's last exchange. Start a new one without continuation_id."
        if self.choice.reason is not None and (len(self.tried) > 1 or self._named_another):
            yield self.choice.reason
        yield from self.material.notes
        if dropped := self.fit.recalled.dropped:
            yield f"The {dropped} oldest exchanges did not fit and were left out."
