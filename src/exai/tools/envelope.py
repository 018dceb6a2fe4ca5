"""What every answer of a tool says beside the tool's own result, and the whole as clients read it."""

from dataclasses import replace
from typing import Any

import msgspec

from exai.consulting.results import Result
from exai.protocol.schemas import output_schema
from exai.tools.base import JsonObject, Tool, ToolAnswer

__all__ = ["CallFacts", "answer_of", "listed_output", "with_facts"]


class CallFacts(msgspec.Struct, frozen=True):
    """What is known of a call that asks a provider when it has ended."""

    timings: dict[str, float]
    """Milliseconds by stage."""
    call_id: str
    """Its row in the journal."""


def listed_output(tool: Tool[Any, Any]) -> JsonObject:
    """Make the output schema of a tool: the fields of its result, and those of the call where it has any."""
    parts = (tool.result, CallFacts) if tool.asks_provider else (tool.result,)
    return output_schema(*parts)


def answer_of(result: Result) -> ToolAnswer:
    """Make the answer that says what a result says."""
    return ToolAnswer(text=result.text(), structured=msgspec.to_builtins(result))


def with_facts(answer: ToolAnswer, facts: CallFacts) -> ToolAnswer:
    """Add what is known of the call now that it has ended."""
    return replace(answer, structured={**(answer.structured or {}), **msgspec.to_builtins(facts)})
