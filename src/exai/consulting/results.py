"""What a tool returns: a result that an agent reads, a report for programs and operators, what the journal keeps."""

from typing import Annotated, ClassVar, Generic, Self, TypeVar

import msgspec

from exai.error_tracking.provenance import Provenance

__all__ = ["Confirmation", "Findings", "Report", "ResourceLink", "Result", "TextBlock", "ToolReturn"]


class TextBlock(msgspec.Struct, frozen=True):
    """A part of a result's text that one writer wrote."""

    text: str
    provenance: Provenance


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every tool's result: the output schema is made from its fields, the text from its values.

    Some agents read the fields and others the text, and each pays for every word: both say the same, what the next step
    needs first, and nothing that is as usual. A field that has its default is left out.
    """

    names_writers: ClassVar[bool] = False
    """Whether each content block of the tool's answers says who wrote it."""
    is_kept: ClassVar[bool] = False
    """Whether the tool returns the same object until something changes, so that its answer is rendered once."""

    def text(self) -> str:
        """Render the result for a model that reads text alone.

        As JSON, where a tool has no better words: MCP 2025-11-25, tools, structured content, asks for that.
        """
        return msgspec.json.encode(self).decode()

    def blocks(self) -> tuple[TextBlock, ...]:
        """Split the text by who wrote it, for content blocks of their own; empty: it is one block."""
        return ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what a tool tells programs beside its result; it goes into the answer's `_meta`."""

    def kept(self) -> Self:
        """Return what the journal may keep of it: no content, and no names of files."""
        return self


class Findings(msgspec.Struct, frozen=True):
    """What the journal keeps of a call beside its requests and the tool's report."""

    provider: str | None = None
    model_used: str | None = None
    model_reason: str | None = None
    """Why `model_used` is not what was requested."""
    conversation_id: str | None = None


class ResourceLink(msgspec.Struct, frozen=True):
    """Where a client finds a text that a result only names: MCP 2025-11-25, tools, resource links."""

    uri: str
    name: str
    mime_type: str


class Confirmation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a call needs before it may ask a model: its user's yes to a budget."""

    estimated_usd: float
    above_usd: float
    """From which estimate on it is needed."""
    budget_usd: Annotated[float, msgspec.Meta(gt=0)]
    continuation_id: str | None = None
    """The run of the guided form that the call has begun, which goes on with it."""

    @property
    def allowed(self) -> dict[str, float | str]:
        """The arguments that the same call has once it is allowed."""
        run = {} if self.continuation_id is None else {"continuation_id": self.continuation_id}
        return {"budget_usd": self.budget_usd, **run}


R_co = TypeVar("R_co", bound=Result, covariant=True)


class ToolReturn(msgspec.Struct, Generic[R_co], frozen=True):
    """All that a tool found. Nothing is added to it afterwards."""

    result: R_co
    findings: Findings = Findings()
    report: Report | None = None
    links: tuple[ResourceLink, ...] = ()
    confirmation: Confirmation | None = None
    """What is missing where nothing was asked because nobody allowed it."""
