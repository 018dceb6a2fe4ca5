"""One call, as its tool sees it: who calls, how models are asked, where progress goes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from exai.callers import Caller
from exai.costs import Bill
from exai.providers.base import Completion, OnDelta, Prompt
from exai.providers.catalog import Model
from exai.providers.search import Found, SearchEngine, SearchQuery
from exai.routing.fallback import Tried
from exai.routing.progress import Progress
from exai.routing.router import Choice
from exai.runtime.clock import Clock

__all__ = ["Ask", "CallContext", "CountTokens", "timed"]

T = TypeVar("T")


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
