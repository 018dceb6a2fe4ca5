"""What differs between OpenAI-compatible endpoints, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from exai.providers.faults import Row, Verdict

__all__ = ["FinishReason", "Profile"]

FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One endpoint's dialect. A request holds exactly the fields that are named here or in the catalogue."""

    title: str
    """As people call it, for sentences."""
    key_hint: str
    """Where its key is set, for sentences."""
    url_setting: str
    """The setting of its address, for sentences."""
    max_tokens_field: str
    """How it spells the cap of an answer, thinking included."""
    key_header: str = "Authorization"
    """The header that carries the key."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with every request, beside the key and content type; may hold secrets."""
    query: tuple[tuple[str, str], ...] = ()
    """Sent with every request, in its URL."""
    system_role: str = "system"
    """What it calls the role of instructions."""
    request_fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of every request."""
    stream_fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of a streamed request."""
    search_tool: Mapping[str, Any] | None = None
    """The entry of `tools` by which the endpoint itself searches the web for a model."""
    loop_reasoning: bool = False
    """Whether the thinking that led to tool calls must go back with them."""
    names_tool_messages: bool = False
    """Whether a tool's message names the tool."""
    conversation_field: str | None = None
    """Where a stable key per conversation goes, for the endpoint's prefix cache."""
    request_id_header: str | None = None
    """The response header with its own id of the request."""
    count_path: str | None = None
    """Below the root, where it counts a prompt's tokens without answering; `None`: nowhere, or not to be asked."""
    errors: tuple[Row, ...]
    """What its errors mean, the first row that fits; common rows by status follow."""
    finishes: Mapping[str, FinishReason | Verdict]
    """What its finish reasons mean. One that is not here is an error, unless `lenient`."""
    lenient: bool = False
    """Whether an unknown finish reason, or none before `[DONE]`, still is an answer."""
