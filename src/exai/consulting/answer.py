"""A consultation as a result for an agent, and as a report: the model, what entered the prompt, the cost."""

from collections.abc import Iterator, Sequence
from typing import Literal, Self

import msgspec
from msgspec import UNSET, UnsetType

from exai.consulting.consultation import Consultation
from exai.consulting.material import ShownMaterial
from exai.consulting.results import Report, Result
from exai.costs import Cost, Usage
from exai.messages import Citation
from exai.routing.ledger import Tried

__all__ = ["AnswerReport", "ModelAnswer", "Preview"]

LONG_CHARACTERS = 8_000
"""From here on the handle stands behind the answer as well: clients cut long results, some of them in the middle."""


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

    @classmethod
    def of(cls, tried: Tried) -> "TriedModel":
        """Make it of the ledger's entry."""
        return cls(tried.model, tried.provider, tried.outcome, tried.requests)


class ShownFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model was shown of a file, or why it was not."""

    name: str
    id: str | None = None
    """By which an answer cites it."""
    kind: str | None = None
    lines: str | None = None
    """Which ones it was shown, as `1-60, 175-214`."""
    total_lines: int | None = None
    whole: bool = True
    extracted_by: str | None = None
    attached: bool = False
    """Whether it was shown the file as it is, by its provider."""
    pages: int | None = None
    secrets: tuple[str, ...] = ()
    """Lines with what looks like a secret, and its form, as `12 github-pat`."""
    left_out: str | None = None
    """Why it was not shown."""


class PromptContents(msgspec.Struct, frozen=True):
    """What entered the prompt."""

    exchanges_included: int
    exchanges_dropped: int
    files: int
    images: int
    tokens_expected: int
    expected_by: str
    estimate_error: float | None


class AnswerReport(Report, frozen=True):
    """How an answer came about, and what it cost."""

    model_requested: str | None
    model_reason: str | None
    model_echoed: str
    provider: str
    tried: tuple[TriedModel, ...]
    effort: str | None
    finish_reason: Literal["stop", "length"]
    usage: Usage
    cost_usd: float | None
    cost: CostItems
    context: PromptContents
    files: tuple[str, ...]
    """Names of the files that entered the prompt."""
    material: tuple[ShownFile, ...] = ()
    """What was shown of each file, and what was left out and why."""

    @classmethod
    def of(cls, consultation: Consultation) -> Self:
        completion = consultation.completion
        material = tuple(_shown_files(consultation.material))
        return cls(
            model_requested=consultation.inquiry.model,
            model_reason=consultation.choice.reason,
            model_echoed=completion.echoed_model,
            provider=completion.provider,
            tried=_tried(consultation.tried),
            effort=consultation.prompt.model.effort_used(consultation.prompt.effort),
            finish_reason="length" if completion.finish_reason == "length" else "stop",
            usage=consultation.usage,
            cost_usd=consultation.cost.usd,
            cost=CostItems.of(consultation.cost),
            context=_contents(consultation),
            files=tuple([file.name for file in material if file.left_out is None]) if material else (),
            material=material,
        )

    def kept(self) -> Self:
        return msgspec.structs.replace(self, files=(), material=())


class More(msgspec.Struct, frozen=True):
    """Where a caller reads on by the tool `files`, in what the model was shown a part of."""

    id: str
    from_line: int


class ModelAnswer(Result, frozen=True, kw_only=True):
    """The result of a tool that returns a model's answer as it is.

    All that is short stands before the answer: wherever a client cuts, it is read.
    """

    continuation_id: str | None = None
    model_used: str
    exchanges_remaining: int
    finish_reason: Literal["length"] | None = None
    notes: tuple[str, ...] = ()
    more: tuple[More, ...] = ()
    answer: str
    citations: tuple[Citation, ...] = ()
    continue_with: str | None = None
    """The handle again, behind a long answer."""

    @classmethod
    def of(cls, consultation: Consultation) -> Self:
        completion = consultation.completion
        handle = consultation.conversation_id
        return cls(
            continuation_id=handle,
            model_used=completion.model,
            exchanges_remaining=consultation.exchanges_remaining,
            finish_reason="length" if completion.finish_reason == "length" else None,
            notes=consultation.notes,
            more=tuple(_more(consultation.material)),
            answer=completion.text,
            citations=completion.citations,
            continue_with=handle if len(completion.text) >= LONG_CHARACTERS else None,
        )

    def text(self) -> str:
        handle = self.continuation_id or "none, as the exchange was not kept"
        head = " | ".join(
            [
                f"continuation_id: {handle}",
                self.model_used,
                f"{self.exchanges_remaining} exchanges remaining",
            ]
        )
        more = [f"More: `files` read {each.id} from_line {each.from_line}" for each in self.more]
        lines = [f"[{head}]", *(f"Note: {note}" for note in self.notes), *more, "", self.answer]
        if self.citations:
            lines += ["", "Sources:", *map(_source_line, self.citations)]
        if self.continue_with is not None:
            lines += ["", f"[continuation_id: {self.continue_with}]"]
        return "\n".join(lines)


class Preview(ModelAnswer, frozen=True, kw_only=True):
    """What would have been sent, in the place of an answer."""

    exchanges_remaining: int = 0

    def text(self) -> str:
        return "\n".join([*(f"Note: {note}" for note in self.notes), self.answer])


def _tried(tried: Sequence[Tried]) -> tuple[TriedModel, ...]:
    """The models that were asked; none where the first request was answered."""
    if sum([max(each.requests, each.was_asked) for each in tried]) <= 1:
        return ()
    return tuple(map(TriedModel.of, tried))


def _contents(consultation: Consultation) -> PromptContents:
    fit, material = consultation.fit, consultation.material
    return PromptContents(
        exchanges_included=fit.recalled.included,
        exchanges_dropped=fit.recalled.dropped,
        files=len(material.blocks) + len(material.attached),
        images=len(material.images),
        tokens_expected=fit.tokens,
        expected_by=consultation.completion.provider if fit.counted else "estimate",
        estimate_error=fit.error,
    )


def _shown_files(material: ShownMaterial) -> Iterator[ShownFile]:
    for block in material.blocks:
        item = block.item
        yield ShownFile(
            name=item.name,
            id=item.id,
            kind=item.kind,
            lines=block.lines,
            total_lines=item.total,
            whole=block.is_whole and item.last - item.first + 1 >= item.total,
            extracted_by=item.method,
            pages=item.pages or None,
            secrets=tuple(f"{place.line} {place.rule}" for place in item.secrets),
        )
    for attached in material.attached:
        yield ShownFile(
            name=attached.attachment.name, id=attached.id, kind=attached.attachment.kind, attached=True
        )
    for each in material.left_out:
        yield ShownFile(name=each.name, whole=False, left_out=each.why)


def _more(material: ShownMaterial) -> Iterator[More]:
    for block in material.blocks:
        if block.item.file_id is not None and block.unshown_from is not None:
            yield More(block.item.file_id, block.unshown_from)


def _source_line(source: Citation) -> str:
    dated = f" ({source.published})" if source.published else ""
    return f"- {source.title}{dated} {source.url}".rstrip()
