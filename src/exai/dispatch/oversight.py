"""What watches over the calls of callers: hourly guards, repeated questions, the names that were used."""

from dataclasses import dataclass
from typing import Self

from exai import config
from exai.dispatch.guards import Guards
from exai.dispatch.repeats import Repeats
from exai.dispatch.use_log import UseLog
from exai.runtime.clock import Clock
from exai.storage.calls.guarded import GuardedCalls
from exai.storage.calls.use import UseCounts
from exai.storage.database import Database

__all__ = ["Oversight"]


@dataclass(frozen=True)
class Oversight:
    """The parts of it; each dispatcher has its own."""

    guards: Guards
    repeats: Repeats
    use: UseLog

    @classmethod
    def on(cls, database: Database, settings: config.Guards, clock: Clock) -> Self:
        """Build it on a database."""
        return cls(
            Guards(GuardedCalls(database, clock), settings, clock),
            Repeats(settings.repeats),
            UseLog(UseCounts(database, clock)),
        )
