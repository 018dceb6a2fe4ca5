"""What a provider is to the rest of the house: one call, one answer, one tree of faults."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

from exai.callers import LOCAL_SUBJECT
from exai.costs import Usage
from exai.messages import Citation, Effort, Message, ToolCall
from exai.providers.catalog import Model

__all__ = ["Completion", "DeltaKind", "OnDelta", "Prompt", "Provider", "ProviderTimings", "ToolSpec"]


class DeltaKind(StrEnum):
    TEXT = "text"
    REASONING = "reasoning"


OnDelta = Callable[[DeltaKind, str], None]
"""Told of each piece of an answer as it arrives; must return at once."""


@dataclass(frozen=True)
class ToolSpec:
    """A function that a model may call."""

    name: str
    """ASCII letters, digits, `_` and `-`, beginning with a letter: what both providers take."""
    description: str
    parameters: Mapping[str, Any] = field(repr=False)
    """JSON Schema without references: GLM returns what lies behind one as text."""


@dataclass(frozen=True)
class Prompt:
    """What a model is asked, in the house's words; the adapter spells it for the provider."""

    model: Model
    messages: tuple[Message, ...]
    effort: Effort | None = None
    """`None` leaves it to the model's own default."""
    temperature: float | None = None
    max_output_tokens: int | None = None
    web_search: bool = False
    """The provider itself searches the web for the model: by the answer's end, or (`SearchWay.BUILTIN`) in
    tool calls that a `ToolLoop` hands back."""
    tools: tuple[ToolSpec, ...] = ()
    conversation_key: str | None = None
    """Stable per conversation, for providers that route by it to their prefix cache."""
    owner: str = LOCAL_SUBJECT
    """On whose behalf it is asked; what is kept at a provider for one is never shown to work for another."""


@dataclass(slots=True)
class ProviderTimings:
    """Where the time of one provider call went, in milliseconds."""

    connect_ms: float = 0.0
    first_token_ms: float = 0.0
    """From the request on the wire to the first piece of text or reasoning; uploads of pictures included."""
    generation_ms: float = 0.0
    """From there to the end."""


@dataclass(frozen=True)
class Completion:
    """A model's answer."""

    text: str = field(repr=False)
    provider: str
    model: str
    """The catalogue's name of the model that was asked."""
    echoed_model: str
    """What the provider says answered; may be spelt or be another than the one asked for."""
    finish_reason: Literal["stop", "length", "tool_calls"]
    usage: Usage
    timings: ProviderTimings
    reasoning: str | None = field(default=None, repr=False)
    tool_calls: tuple[ToolCall, ...] = ()
    """What the model wants called before it goes on; there may be no text then."""
    citations: tuple[Citation, ...] = ()
    notes: tuple[str, ...] = ()
    """What the adapter changed or left out of the request, in sentences for the caller."""
    request_id: str | None = None
    """The provider's own id of the request, for a complaint there."""
    services: Mapping[str, int] = field(default_factory=dict)
    """How often the request used something that has a fee beside tokens, by its name in the catalogue."""


@dataclass(frozen=True, slots=True)
class Reached:
    """That a provider answered a request that costs nothing."""

    lists_models: bool
    """Whether it listed its models, which it does for a good key."""

    ahead_s: float | None
    """How far its clock is ahead of ours, in seconds; `None` where it does not say."""


class Provider(Protocol):
    """An endpoint that answers prompts."""

    @property
    def name(self) -> str: ...

    @property
    def configured(self) -> bool:
        """Whether it has what it needs to be asked (a key, where one is needed)."""
        ...

    @property
    def models(self) -> Mapping[str, Model]:
        """The models it serves under this configuration, by canonical name."""
        ...

    async def complete(
        self, prompt: Prompt, *, deadline: float, on_delta: OnDelta | None = None
    ) -> Completion:
        """Ask; streaming is used whenever `on_delta` is given or it makes time-outs safer.

        `deadline` is in `Clock.monotonic` seconds. Cancelling the task closes the
        provider's connection at once.

        Raises:
            ProviderFault: one of its subclasses, for everything that can go wrong there.
            AbilityMissing: the model cannot do what the prompt needs; nothing was sent.
            DeadlineExceeded: `deadline` passed first.
        """
        ...

    def counts_tokens(self, prompt: Prompt) -> bool:
        """Whether it has a counter that is to be asked, and that takes such a prompt."""
        ...

    async def count_tokens(self, prompt: Prompt, *, deadline: float) -> int:
        """Return the provider's own count of a prompt.

        Raises:
            ProviderFault: it did not count.
        """
        ...

    async def reach(self, *, within_s: float) -> Reached:
        """See whether it answers and takes the key, by asking for its list of models, which is free.

        Raises:
            ProviderFault: no connection, no answer, or a refusal.
        """
        ...

    async def close(self) -> None:
        """Let go of the connections."""
        ...
