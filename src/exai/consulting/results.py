"""What a tool returns: a result whose type is its schema, and what the journal keeps of the call."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

__all__ = ["Findings", "Result", "ToolReturn"]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every tool's result: the output schema is made from its fields, the text from its values."""

    def text(self) -> str:
        """Render the result for a model that reads text alone.

        As JSON, where a tool has no better words: MCP 2025-11-25, tools, structured content, asks for that.
        """
        return msgspec.json.encode(self).decode()


@dataclass(frozen=True, slots=True)
class Findings:
    """What the journal keeps of a call beside its requests."""

    provider: str | None = None
    model_used: str | None = None
    model_reason: str | None = None
    """Why `model_used` is not what was requested."""
    conversation_id: str | None = None


R_co = TypeVar("R_co", bound=Result, covariant=True)


@dataclass(frozen=True, slots=True)
class ToolReturn(Generic[R_co]):
    """All that a tool found. Nothing is added to it afterwards."""

    result: R_co
    findings: Findings = Findings()
