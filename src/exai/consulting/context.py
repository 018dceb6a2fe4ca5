"""What a tool is given beside its arguments: the caller, a way to ask models, progress."""

from contextlib import AbstractContextManager
from datetime import datetime

import msgspec

from exai.callers import Caller
from exai.routing.asker import ModelAsker
from exai.routing.ledger import Stage
from exai.routing.progress import Progress

__all__ = ["CallContext", "Interrupted"]


class Interrupted(msgspec.Struct, frozen=True):
    """A call whose process died."""

    call_id: str
    began_at: datetime


class CallContext(msgspec.Struct, frozen=True):
    """The call as its tool sees it. Read-only: what a tool finds is in its return value."""

    call_id: str
    caller: Caller
    ask: ModelAsker
    """Asks models and searches, under permits and within the call's deadline; its ledger has what that took."""
    progress: Progress
    interrupted: Interrupted | None = None
    """The call under the same idempotency key whose process died; only tools that go on with its work are told."""

    def asking_through(self, ask: ModelAsker) -> "CallContext":
        """Return the context of a part of the call, which asks through an asker of its own."""
        return msgspec.structs.replace(self, ask=ask)

    def hold(self, size: int) -> None:
        """Count bytes that are read for the call and held until its end.

        Raises:
            Overloaded: this caller's calls, or all calls, hold too much already.
        """
        self.ask.terms.hold(size)

    def stage(self, stage: Stage) -> AbstractContextManager[None]:
        """A scope whose time counts for one stage of the call."""
        return self.ask.ledger.stage(stage)
