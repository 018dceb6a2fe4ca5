"""A chat request as the rules and personas see it, read leniently: no body can make the reading fail."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from exai_emulator.accounts import Account

__all__ = [
    "PLAN_ROOT",
    "ChatCall",
    "Check",
    "Document",
    "ErrorRow",
    "KeyVerdict",
    "Model",
    "Refusal",
    "canonical_prompt",
    "text_of",
]

PLAN_ROOT = "coding"
"""The name of the root whose calls a subscription pays."""

KeyVerdict = Literal["ok", "missing", "bad", "expired"]


@dataclass(frozen=True, slots=True)
class Model:
    """A model of a provider's catalogue."""

    id: str
    context: int
    max_output: int
    thinking: Literal["never", "switchable", "always"] = "never"
    efforts: tuple[str, ...] = ()
    vision: bool = False
    default_output: int | None = None
    """The cap when the request sets none; None for `max_output`."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error of the provider's table, with its own text where the row's does not fit."""

    error: str
    message: str | None = None
    content_type: bool = True
    """Whether the reply has a Content-Type; GLM leaves it out of some."""
    headers: Mapping[str, str] | None = None
    """Instead of the row's."""


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One row of a provider's error table."""

    name: str
    status: int
    mark: str
    message: str = ""
    kind: str = ""
    """GLM's code, Kimi's and OpenAI's type."""
    code: str | None = None
    """OpenAI's code."""
    headers: Mapping[str, str] = field(default_factory=dict)
    resets_in_s: int | None = None
    """How far ahead the Unix seconds of X-RateLimit-Reset are."""
    body: str | None = None
    """The body verbatim, for errors that are not in the provider's envelope."""
    content_type: str | None = None
    """The type of a verbatim body."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file that a message shows."""

    message: int
    """The place of its message."""
    source: str
    """The field that names it."""
    name: str
    size: int = 0
    kind: str = "unknown"
    text: str = ""
    trouble: str = ""
    """Why the model cannot see it; empty when it can."""


@dataclass(slots=True)
class ChatCall:
    """One chat request. `body` is a mapping and `messages` a list of mappings whatever was sent."""

    raw: Any
    """The decoded body as it came; None when it was not JSON."""
    root: str
    account: Account
    body: Mapping[str, Any]
    messages: Sequence[Mapping[str, Any]]
    model: Model | None
    """None when the catalogue has no such model."""
    asked_model: str
    texts: Sequence[tuple[str, str]]
    prompt: str
    prompt_tokens: int
    cap: int
    thinks: bool
    think_tokens: int
    """Tokens of thinking when the persona does not say."""
    cached_tokens: int = 0
    cache_write_tokens: int | None = None
    """None where the service does not count them."""
    stop: Sequence[str] = ()
    json_mode: bool = False
    schema: Mapping[str, Any] | None = None
    """Of the object that is asked for, where the request has one."""
    documents: Sequence[Document] = ()
    """The files that its messages show, in order."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Of the URL."""

    @property
    def model_id(self) -> str:
        """The catalogue's spelling, or the caller's for a model that is not in it."""
        return self.model.id if self.model is not None else self.asked_model

    @property
    def charged_tokens(self) -> int:
        """What the call counts against limits of tokens: its prompt and the whole cap, used or not."""
        return self.prompt_tokens + self.cap

    @property
    def on_plan(self) -> bool:
        """Whether a subscription pays for it."""
        return self.root == PLAN_ROOT

    @property
    def streams(self) -> bool:
        return self.body.get("stream") is True


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or the text parts of a list; anything else is ''."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "\n".join(part for part in parts if isinstance(part, str))
    return ""


def canonical_prompt(
    messages: Sequence[Mapping[str, Any]], tools: Any, documents: Sequence[Document] = ()
) -> tuple[list[tuple[str, str]], str]:
    """The role and text of each message, and the prompt as one text whose beginnings can be compared.

    Documents stand in the prompt before the text of their message.
    """
    texts = []
    prompt = []
    if isinstance(tools, list) and tools:
        prompt.append(msgspec.json.encode(tools).decode())
    for place, message in enumerate(messages):
        prompt += [document.text for document in documents if document.message == place]
        role, content = message.get("role"), message.get("content")
        text = text_of(content)
        role = role if isinstance(role, str) else ""
        texts.append((role, text))
        reasoning = message.get("reasoning_content")
        prompt.append(
            f"{role}\x1f{reasoning}\x1f{text}" if isinstance(reasoning, str) else f"{role}\x1f{text}"
        )
        if (calls := message.get("tool_calls")) is not None:
            prompt.append(msgspec.json.encode(calls).decode())
    return texts, "\x1e".join(prompt)


Check = Callable[[ChatCall], Refusal | None]
"""A rule's test of a request."""
