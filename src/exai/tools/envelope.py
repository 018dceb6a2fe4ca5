"""The answer of a call: the tool's result as text and as JSON, and the facts of the call beside it."""

from dataclasses import replace
from typing import Any

import msgspec

from exai.consulting.results import Result
from exai.protocol.schemas import output_schema
from exai.tools.base import JsonObject, Tool, ToolAnswer

__all__ = ["CallFacts", "answer_of", "listed_output", "with_facts"]


class CallFacts(msgspec.Struct, frozen=True):
    """What the dispatcher adds to the result of a tool that asks a provider."""

    timings: dict[str, float]
    """Milliseconds by stage."""
    call_id: str
    """Its row in the journal."""


def listed_output(tool: Tool[Any, Any]) -> JsonObject:
    """Make the output schema of a tool: the fields of its result and, if it asks a provider, the facts of the call."""
    parts = (tool.result, CallFacts) if tool.asks_provider else (tool.result,)
    return output_schema(*parts)


def answer_of(result: Result) -> ToolAnswer:
    """Render a result as text and as JSON."""
    return ToolAnswer(text=result.text(), structured=msgspec.to_builtins(result))


def with_facts(answer: ToolAnswer, facts: CallFacts) -> ToolAnswer:
    """Return the answer with the facts of its call."""
    return replace(answer, structured={**(answer.structured or {}), **msgspec.to_builtins(facts)})
