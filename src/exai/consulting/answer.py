"""A consultation as a result: the answer, the model, what entered the prompt, the cost."""

from collections.abc import Sequence
from typing import Literal, Self

import msgspec
from msgspec import UNSET, UnsetType

from exai.consulting.consultation import Consultation
from exai.consulting.results import Result
from exai.costs import Cost, Usage
from exai.messages import Citation
from exai.routing.ledger import Tried

__all__ = ["ModelAnswer"]


class CostItems(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Dollars by what they are for; what did not occur is missing."""

    input: float | UnsetType = UNSET
    cached_input: float | UnsetType = UNSET
    cache_write: float | UnsetType = UNSET
    output: float | UnsetType = UNSET
    search: float | UnsetType = UNSET
    file: float | UnsetType = UNSET
    unknown: tuple[str, ...] | UnsetType = UNSET
    """Why a part has no price."""

    @classmethod
    def of(cls, cost: Cost) -> Self:
        items = {name: round(usd, 9) for name, usd in cost.items.items()}
        return cls(**items, unknown=cost.unknown or UNSET)


class TriedModel(msgspec.Struct, frozen=True):
    """A model that was asked, and the outcome."""

    model: str
    provider: str
    outcome: str
    requests: int


class PromptContents(msgspec.Struct, frozen=True):
    """What entered the prompt."""

    exchanges_included: int
    exchanges_dropped: int
    files: tuple[str, ...]
    images: int
    tokens_expected: int
    expected_by: str
    estimate_error: float | None


class ModelAnswer(Result, frozen=True):
    """The result of a tool that returns all there is about its consultation."""

    answer: str
    continuation_id: str | None
    exchanges_remaining: int
    model_requested: str | None
    model_used: str
    model_reason: str | None
    tried: tuple[TriedModel, ...]
    model_echoed: str
    provider: str
    effort: str | None
    finish_reason: Literal["stop", "length"]
    usage: Usage
    cost_usd: float | None
    cost: CostItems
    context: PromptContents
    citations: tuple[Citation, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, consultation: Consultation) -> Self:
        completion = consultation.completion
        return cls(
            answer=completion.text,
            continuation_id=consultation.conversation_id,
            exchanges_remaining=consultation.exchanges_remaining,
            model_requested=consultation.inquiry.model,
            model_used=completion.model,
            model_reason=consultation.choice.reason,
            tried=_tried(consultation.tried),
            model_echoed=completion.echoed_model,
            provider=completion.provider,
            effort=consultation.prompt.model.effort_used(consultation.prompt.effort),
            finish_reason="length" if completion.finish_reason == "length" else "stop",
            usage=consultation.usage,
            cost_usd=consultation.cost.usd,
            cost=CostItems.of(consultation.cost),
            context=_contents(consultation),
            citations=completion.citations,
            notes=consultation.notes,
        )

    def text(self) -> str:
        handle = self.continuation_id or "none, as the exchange was not kept"
        footer = " | ".join(
            [
                f"continuation_id: {handle}",
                self.model_used,
                f"{self.exchanges_remaining} exchanges remaining",
            ]
        )
        lines = [self.answer, "", f"[{footer}]", *(f"Note: {note}" for note in self.notes)]
        if self.citations:
            lines += ["Sources:", *map(_source_line, self.citations)]
        return "\n".join(lines)


def _tried(tried: Sequence[Tried]) -> tuple[TriedModel, ...]:
    """The models that were asked; none where the first request was answered."""
    if sum(max(each.requests, each.was_asked) for each in tried) <= 1:
        return ()
    return tuple(TriedModel(each.model, each.provider, each.outcome, each.requests) for each in tried)


def _contents(consultation: Consultation) -> PromptContents:
    fit, material = consultation.fit, consultation.material
    return PromptContents(
        exchanges_included=fit.recalled.included,
        exchanges_dropped=fit.recalled.dropped,
        files=tuple(file.path for file in material.files),
        images=len(material.images),
        tokens_expected=fit.tokens,
        expected_by=consultation.completion.provider if fit.counted else "estimate",
        estimate_error=fit.error,
    )


def _source_line(source: Citation) -> str:
    dated = f" ({source.published})" if source.published else ""
    return f"- {source.title}{dated} {source.url}".rstrip()
