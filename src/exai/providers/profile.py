"""The differences between OpenAI-compatible endpoints, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from exai.providers.faults import Row, Verdict

__all__ = ["WINDOW_FULL", "AnswerForm", "CutShort", "Finish", "FinishReason", "Profile", "ThinkTags"]

FinishReason = Literal["stop", "length", "tool_calls"]

AnswerForm = Literal["json_schema", "json_object"]
"""How an answer that is an object is asked for: by its schema, or as any object, with the schema in the prompt."""

ThinkTags = Literal["off", "both", "closing"]
"""Whether thinking stands in the text of an answer: between `<think>` and `</think>`, or before a `</think>` alone."""


@dataclass(frozen=True, slots=True)
class CutShort:
    """An end that cuts an answer short, for another cause than its length."""

    note: str
    """A sentence for the caller of an answer that has text. May contain what `Verdict.sentence` may."""
    empty: Verdict
    """The error of an answer without text."""


WINDOW_FULL = (
    "The answer was cut, because it and the prompt fill the window of {model} ({code}). Start a new conversation with "
    "less, or use a model with a larger window."
)
"""The note of a `CutShort`."""

Finish = FinishReason | Verdict | CutShort
"""What a finish reason means."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One endpoint's API. A request has exactly the fields that are named here or in the catalogue."""

    title: str
    """Its name for people, for messages."""
    key_hint: str
    """Where its key is set, for messages."""
    url_setting: str
    """The setting of its address, for messages."""
    max_tokens_field: str
    """The field that limits the length of an answer, thinking included."""
    key_header: str = "Authorization"
    """The header that carries the key."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further headers of every request; they may contain secrets."""
    query: tuple[tuple[str, str], ...] = ()
    """Further query parameters of every request."""
    system_role: str = "system"
    """The role of instructions."""
    request_fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of every request."""
    stream_fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of a streamed request."""
    search_tool: Mapping[str, Any] | None = None
    """The entry of `tools` that makes the endpoint search the web."""
    loop_reasoning: bool = False
    """Whether the reasoning before tool calls must be sent back with them."""
    names_tool_messages: bool = False
    """Whether a tool's message names the tool."""
    conversation_field: str | None = None
    """The field for a stable key per conversation, for the endpoint's prefix cache."""
    request_id_header: str | None = None
    """The response header with its own id of the request."""
    count_path: str | None = None
    """The path below the root that counts a prompt's tokens; `None`: there is none, or it must not be asked."""
    errors: tuple[Row, ...]
    """Its errors; the first row that matches decides, then the common rows by status."""
    finishes: Mapping[str, Finish]
    """Its finish reasons. An unknown one is an error, unless `lenient`."""
    think_tags: ThinkTags = "off"
    """How thinking is marked inside the text of an answer."""
    answer_form: AnswerForm = "json_object"
    """How an object is asked for."""
    lenient: bool = False
    """Whether an answer may have an unknown finish reason, or none before `[DONE]`."""
