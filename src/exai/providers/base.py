"""The interface of a provider: prompts, answers, errors."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

import msgspec

from exai import config
from exai.callers import LOCAL_SUBJECT
from exai.costs import Usage
from exai.files.heavy_work import HeavyWork
from exai.messages import Citation, Effort, Message, ToolCall
from exai.providers.catalog import Model
from exai.runtime.clock import Clock
from exai.storage.files.copies import CopyTables

__all__ = [
    "AnswerSchema",
    "Charges",
    "Completion",
    "DeltaKind",
    "OnDelta",
    "Prompt",
    "Provider",
    "ProviderTimings",
    "Shared",
    "ToolSpec",
]


@dataclass(frozen=True, slots=True)
class Shared:
    """What all adapters share."""

    timeouts: config.Timeouts
    clock: Clock
    work: HeavyWork
    """The threads for pictures and long prompts."""
    copies: CopyTables | None = None
    """What lies in the providers' file stores; without it nothing is put there."""
    files: config.Files = field(default_factory=config.Files)


class DeltaKind(StrEnum):
    TEXT = "text"
    REASONING = "reasoning"


OnDelta = Callable[[DeltaKind, str], None]
"""Called with each piece of an answer as it arrives; must return at once."""


@dataclass(frozen=True)
class ToolSpec:
    """A function that a model may call."""

    name: str
    """ASCII letters, digits, `_` and `-`, beginning with a letter: what all providers accept."""
    description: str
    parameters: Mapping[str, Any] = field(repr=False)
    """JSON Schema without references: GLM returns referenced values as text."""


@dataclass(frozen=True)
class AnswerSchema:
    """The object that an answer is to be."""

    name: str
    """ASCII letters, digits, `_` and `-`."""
    schema: Mapping[str, Any] = field(repr=False)
    """JSON Schema with common keywords alone, and without references: what all providers take."""


class Prompt(msgspec.Struct, frozen=True):
    """What a model is asked, independent of providers; the adapter encodes it."""

    model: Model
    messages: tuple[Message, ...]
    effort: Effort | None = None
    """`None`: the model's default."""
    temperature: float | None = None
    max_output_tokens: int | None = None
    web_search: bool = False
    """Let the provider search the web for the model: within the answer, or (`SearchWay.BUILTIN`) in tool calls that a
    `ToolLoop` sends back."""
    tools: tuple[ToolSpec, ...] = ()
    answer_schema: AnswerSchema | None = None
    """What the answer is to be, instead of text; nothing but a check of the answer tells whether it is."""
    conversation_key: str | None = None
    """Stable per conversation, for providers that route to their prefix cache by it."""
    owner: str = LOCAL_SUBJECT
    """The subject for whom it is asked; uploads at a provider are never shared between subjects."""


class ProviderTimings(msgspec.Struct):
    """How long the stages of one request took, in milliseconds."""

    connect_ms: float = 0.0
    first_token_ms: float = 0.0
    """From the request to the first piece of text or reasoning, uploads of pictures included."""
    generation_ms: float = 0.0
    """From the first piece to the end."""


class Completion(msgspec.Struct, frozen=True):
    """A model's answer."""

    text: str
    provider: str
    model: str
    """The model that was asked, by its name in the catalogue."""
    echoed_model: str
    """The model that the provider reports; it may be another one, or have another form of the name."""
    finish_reason: Literal["stop", "length", "tool_calls"]
    usage: Usage
    timings: ProviderTimings
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    """The tools that the model calls before it goes on; there may be no text then."""
    citations: tuple[Citation, ...] = ()
    notes: tuple[str, ...] = ()
    """What the adapter changed in the request or left out, and how the answer was cut, as sentences for the caller."""
    cut_short: bool = False
    """Whether the answer is cut, or may be, for another cause than its token cap; a note says which."""
    request_id: str | None = None
    """The provider's id of the request, for its support."""

    def __repr__(self) -> str:
        """Name what it is without its texts, which belong in no log."""
        return f"Completion({self.provider}, {self.model}, {self.finish_reason}, {len(self.text)} characters)"


class Charges:
    """What one attempt is charged for, noted as it becomes known: it stands however the attempt ends."""

    __slots__ = ("sent", "services", "unreported", "usage")

    def __init__(self) -> None:
        self.sent = 0
        """How often the request left for the provider: again where a kept connection turned out to be closed."""
        self.unreported = 0
        """Of these, the ones that may be charged for, and whose usage the provider did not tell."""
        self.usage: Usage | None = None
        self.services: Counter[str] = Counter()
        """How often a service with a fee of its own was used, by its name in the catalogue."""

    def leave(self) -> None:
        """Note that the request left: from now on it may be charged for."""
        self.sent += 1
        self.unreported += 1

    def report(self, usage: Usage) -> None:
        """Note the usage that the provider reports for the request that left last."""
        self.unreported -= 1
        self.usage = usage if self.usage is None else self.usage + usage

    def clear(self) -> None:
        """Note that the request that left last costs no tokens: it was refused, or is free of them."""
        self.unreported -= 1


@dataclass(frozen=True, slots=True)
class Reached:
    """The outcome of a free request to a provider."""

    lists_models: bool
    """Whether it listed its models, which it does for a valid key."""

    ahead_s: float | None
    """How many seconds its clock is ahead of ours; `None` when it does not report its time."""


class Provider(Protocol):
    """An endpoint that answers prompts."""

    @property
    def name(self) -> str: ...

    @property
    def configured(self) -> bool:
        """Whether it can be asked: it has a key, if it needs one."""
        ...

    @property
    def models(self) -> Mapping[str, Model]:
        """The models it serves under this configuration, by canonical name."""
        ...

    async def complete(
        self,
        prompt: Prompt,
        *,
        deadline: float,
        on_delta: OnDelta | None = None,
        charges: Charges | None = None,
    ) -> Completion:
        """Ask for an answer; it is streamed if `on_delta` is given, or if that makes time-outs safer.

        `deadline` is in `Clock.monotonic` seconds. Cancelling the task closes the
        provider's connection at once. What it is charged for is noted in `charges`, however it ends.

        Raises:
            ProviderFault: one of its subclasses, for every failure of the provider.
            AbilityMissing: the model cannot do what the prompt needs; nothing was sent.
            DeadlineExceeded: `deadline` passed first.
        """
        ...

    async def request_of(self, prompt: Prompt) -> bytes:
        """Return the body that a prompt would be sent as, with what it shows inside of it; nothing is sent.

        Raises:
            AbilityMissing: the model cannot do what the prompt needs.
        """
        ...

    def counts_tokens(self, prompt: Prompt) -> bool:
        """Whether it has a counter that is to be asked, and that takes such a prompt."""
        ...

    async def count_tokens(self, prompt: Prompt, *, deadline: float, charges: Charges | None = None) -> int:
        """Return the provider's own count of a prompt.

        Raises:
            ProviderFault: it did not count.
        """
        ...

    async def reach(self, *, within_s: float) -> Reached:
        """Check that it answers and accepts the key, by asking for its list of models, which is free.

        Raises:
            ProviderFault: no connection, no answer, or a refusal.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
