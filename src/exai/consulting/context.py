"""One call, as its tool sees it: who calls, how models are asked, where progress goes."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

from exai.callers import Caller
from exai.providers.base import OnDelta
from exai.routing.asker import ModelAsker
from exai.routing.ledger import Stage
from exai.routing.progress import Progress

__all__ = ["CallContext"]


@dataclass(frozen=True, slots=True)
class CallContext:
    """One call, as its tool sees it. A tool writes nothing into it: what it found is what it returns."""

    call_id: str
    caller: Caller
    ask: ModelAsker
    """Asks models and searches, under permits and within the call's deadline; its ledger has what that took."""
    progress: Progress

    @property
    def on_delta(self) -> OnDelta | None:
        """Where the pieces of an answer go; `None` when nobody follows, which lets a provider answer at once."""
        return self.progress.delta if self.progress.is_followed else None

    def stage(self, stage: Stage) -> AbstractContextManager[None]:
        """A scope whose time counts for one stage of the call."""
        return self.ask.ledger.stage(stage)
