"""One call, as its tool sees it: who calls, how models are asked, where progress goes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from exai.callers import Caller
from exai.providers.base import OnDelta
from exai.routing.asker import ModelAsker
from exai.routing.progress import Progress
from exai.runtime.clock import Clock

__all__ = ["CallContext", "timed"]


@dataclass(frozen=True, slots=True)
class CallContext:
    """One call, as its tool sees it. A tool writes nothing into it: what it found is what it returns."""

    call_id: str
    caller: Caller
    ask: ModelAsker
    """Asks models, under the permits of their providers and within the call's deadline."""
    progress: Progress

    @property
    def on_delta(self) -> OnDelta | None:
        """Where the pieces of an answer go; `None` when nobody follows, which lets a provider answer at once."""
        return self.progress.delta if self.progress.is_followed else None


@contextmanager
def timed(context: CallContext, stage: str, clock: Clock) -> Iterator[None]:
    """Add the time of the block to one stage of the call's timings."""
    began = clock.monotonic()
    try:
        yield
    finally:
        timings = context.ask.timings
        timings[stage] = timings.get(stage, 0.0) + (clock.monotonic() - began) * 1000
