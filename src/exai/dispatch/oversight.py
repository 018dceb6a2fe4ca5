"""What watches over the calls of callers: guards, budgets, repeats, names that were used, faults, spans."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self

from exai import config
from exai.dispatch.guards import Guards
from exai.dispatch.purses import Purse, Purses
from exai.dispatch.repeats import Repeats
from exai.dispatch.span_choice import SpanChoice
from exai.dispatch.use_log import UseLog
from exai.error_tracking.known_groups import KnownGroups
from exai.error_tracking.noticing import FaultNotices
from exai.runtime.clock import Clock
from exai.storage.calls.budgets import BudgetGrants
from exai.storage.calls.guarded import GuardedCalls
from exai.storage.calls.use import UseCounts
from exai.storage.database import Database
from exai.storage.notices.writing import NOBODY, Targets

__all__ = ["Oversight"]


@dataclass(frozen=True)
class Oversight:
    """The parts of it; each dispatcher has its own."""

    guards: Guards
    purses: Purses
    repeats: Repeats
    use: UseLog
    faults: FaultNotices
    groups: KnownGroups = field(default_factory=KnownGroups)
    spans: SpanChoice = field(default_factory=SpanChoice)

    @classmethod
    def on(
        cls,
        database: Database,
        settings: config.Guards,
        clock: Clock,
        faults: FaultNotices,
        purses: Mapping[str, Purse] = MappingProxyType({}),
        groups: KnownGroups | None = None,
        targets: Targets = NOBODY,
    ) -> Self:
        """Build it on a database.

        Args:
            purses: by the subject of their caller.
            groups: what faults belong to.
            targets: who is told of spent purses.
        """
        return cls(
            Guards(GuardedCalls(database, clock), settings, clock),
            Purses(BudgetGrants(database, clock, targets), purses),
            Repeats(settings.repeats),
            UseLog(UseCounts(database, clock)),
            faults,
            groups or KnownGroups(),
        )
