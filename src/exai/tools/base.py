"""What a tool is, and what it is given: its arguments, its caller, and a few hands of the house.

A tool never sees a socket, a permit or a journal row. It asks models through
`Ask`, tells how far it is through `Progress`, and returns a `ToolAnswer`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from exai.callers import Caller
from exai.clock import Clock
from exai.costs import Bill
from exai.providers.base import Completion, OnDelta, Prompt
from exai.providers.catalog import Model
from exai.providers.fallback import Tried
from exai.providers.routing import Choice
from exai.providers.search import Found, SearchEngine, SearchQuery

__all__ = [
    "Arguments",
    "Ask",
    "CallContext",
    "CountTokens",
    "JsonObject",
    "Progress",
    "SilentProgress",
    "Tool",
    "ToolAnswer",
    "timed",
]

T = TypeVar("T")

JsonObject = dict[str, Any]


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every tool's arguments; the input schema is made from it."""


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """A tool's result as every door sends it."""

    text: str
    """Short text for the model that reads it."""

    structured: JsonObject | None
    """Agrees with the tool's output schema; `None` on an error, which has no such shape."""

    meta: JsonObject | None = None
    """Goes into the result's `_meta`; an error's facts stand under `exai/error`."""

    is_error: bool = False


class Progress(Protocol):
    """How a running call tells its caller what happens; each returns at once."""

    def text(self, delta: str) -> None:
        """More of the answer."""
        ...

    def reasoning(self, delta: str) -> None:
        """More of the model's thinking."""
        ...

    def status(self, sentence: str) -> None:
        """What is being done now."""
        ...


class SilentProgress:
    """For callers who asked for no progress."""

    def text(self, delta: str) -> None:
        pass

    def reasoning(self, delta: str) -> None:
        pass

    def status(self, sentence: str) -> None:
        pass


class Ask(Protocol):
    """Asks models, under the permits of their providers and within the call's deadline."""

    async def __call__(self, prompt: Prompt, on_delta: OnDelta | None = None) -> Completion:
        """One answer of the prompt's model; asked again where a failure passes by itself."""
        ...

    async def search(self, engine: SearchEngine, query: SearchQuery) -> Found:
        """What a provider's web search finds; asked again where a failure passes by itself."""
        ...

    async def along(self, choice: Choice, answer: Callable[[Model], Awaitable[T]]) -> tuple[T, Choice]:
        """What `answer` makes of the chosen model, or of one that may take over when it cannot answer."""
        ...


CountTokens = Callable[[Prompt], Awaitable[int | None]]
"""Has the provider count a prompt without answering it; `None` where it has no counter, or none is configured."""


async def _count_nothing(_: Prompt) -> int | None:
    return None


@dataclass(slots=True)
class CallContext:
    """One call, as its tool sees it; the dispatcher reads the findings afterwards for the journal."""

    call_id: str
    caller: Caller
    progress: Progress
    ask: Ask
    count_tokens: CountTokens = _count_nothing

    streams: bool = False
    """Whether the caller follows the progress, so that deltas are worth the work."""

    journalled: bool = False
    """Whether the call has a row in the journal."""

    model_requested: str | None = None
    provider: str | None = None
    model_used: str | None = None
    model_reason: str | None = None
    """Why `model_used` is not what was requested."""
    tried: list[Tried] = field(default_factory=list)
    """The models that were to answer, in turn."""
    conversation_id: str | None = None
    bill: Bill = field(default_factory=Bill)
    """What the call's requests used and cost; asking a model adds to it, a tool adds its own fees."""
    timings: dict[str, float] = field(default_factory=dict)
    """Stage timings in milliseconds, by the names of the journal's columns."""


A = TypeVar("A", bound=Arguments)


@dataclass(frozen=True)
class Tool(Generic[A]):
    """One entry of the catalogue."""

    name: str
    title: str
    description: str
    arguments: type[A]
    run: Callable[[A, CallContext], Awaitable[ToolAnswer]]
    output_schema: JsonObject
    asks_provider: bool
    """Whether a call needs permits; the others answer however busy the house is."""

    scope: str
    """What a caller needs for it, as `exai.auth.scopes` names it."""

    argument_scopes: Mapping[str, str] = field(default_factory=dict)
    """What a caller needs besides for an argument that is given and is not false."""

    aliases: tuple[str, ...] = ()
    """Older names that answer, but are not listed."""

    argument_aliases: Mapping[str, str] = field(default_factory=dict)
    """Names that other servers have for an argument, and that agents therefore use: taken, but not listed."""

    read_only: bool = True
    open_world: bool = False
    idempotent: bool = False

    def scopes_for(self, arguments: Mapping[str, Any] | None) -> tuple[str, ...]:
        """Every scope that this call needs; judged by what was sent, so that nothing of it is looked at before."""
        if not self.argument_scopes or not arguments:
            return (self.scope,)
        given = {
            self.argument_aliases.get(name, name) for name, value in arguments.items() if value is not False
        }
        return (self.scope, *(scope for name, scope in self.argument_scopes.items() if name in given))


class timed:  # noqa: N801 - reads as a verb where it is used
    """Adds the time of its block to one stage of the call's timings."""

    __slots__ = ("_began", "_clock", "_context", "_stage")

    def __init__(self, context: CallContext, stage: str, clock: Clock) -> None:
        self._context = context
        self._stage = stage
        self._clock = clock

    def __enter__(self) -> None:
        self._began = self._clock.monotonic()

    def __exit__(self, *_: object) -> None:
        timings = self._context.timings
        timings[self._stage] = timings.get(self._stage, 0.0) + (self._clock.monotonic() - self._began) * 1000
