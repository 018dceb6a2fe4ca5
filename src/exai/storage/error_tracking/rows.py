"""What is written of faults and read of their groups."""

from collections.abc import Callable
from datetime import datetime
from typing import Literal

import msgspec

__all__ = [
    "Change",
    "FaultBatch",
    "GroupRow",
    "GroupTally",
    "NewOccurrence",
    "ReleaseRow",
    "State",
    "Turn",
    "Weighed",
]

State = Literal["open", "resolved", "archived"]


class NewOccurrence(msgspec.Struct, frozen=True):
    """One occurrence that may be kept whole."""

    occurrence_id: str
    ordinal: int
    """Within the tally, from 0."""
    share: float
    """From 0 to 1, drawn from its id: it is kept where the group's share reaches it."""
    at: datetime
    release: str
    call_id: str | None
    incident_id: str | None
    event_id: str | None
    body: str
    """JSON, redacted."""


class GroupTally(msgspec.Struct):
    """What was seen of one fingerprint since the last batch."""

    project_id: int
    rule: int
    hash: str
    why: str
    title: str
    kind: str
    culprit: str
    code: str | None
    fixable_by: str | None
    own_doing: bool
    first_seen: datetime
    last_seen: datetime
    counts: dict[tuple[datetime, str], list[int]]
    """By hour and release: seen, of these handled, and lost."""
    latest: dict[str, datetime]
    """By release: when it failed somebody last, by the earlier of our clock and the reporter's."""
    occurrences: list[NewOccurrence]
    subjects: set[str]
    call_ids: list[str]
    """Of the calls that it failed."""

    @property
    def sums(self) -> tuple[int, int, int]:
        """Seen, handled and lost."""
        seen, handled, lost = (sum(each[place] for each in self.counts.values()) for place in range(3))
        return seen, handled, lost


class GroupRow(msgspec.Struct, frozen=True, kw_only=True):
    """A group, as it is kept."""

    group_id: str
    number: int
    project_id: int
    title: str
    kind: str
    culprit: str
    code: str | None
    fixable_by: str | None
    own_doing: int
    state: State
    version: int
    seen: int
    handled: int
    stored: int
    lost: int
    callers: int
    first_seen: datetime
    last_seen: datetime
    first_release: str
    last_release: str
    resolved_at: datetime | None
    resolved_in: str | None
    archived_until: datetime | None
    archived_count: int | None
    archived_rate: int | None


class ReleaseRow(msgspec.Struct, frozen=True):
    """A release of a project, as it was first seen."""

    release: str
    ordinal: int
    first_seen: datetime


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a group's state, with the turn of its history."""

    kind: str
    state: State
    resolved_at: datetime | None = None
    resolved_in: str | None = None
    archived_until: datetime | None = None
    archived_count: int | None = None
    archived_rate: int | None = None
    facts: dict[str, str] = {}


class Weighed(msgspec.Struct, frozen=True):
    """What a group's state may change by: what came, and what is known beside it."""

    latest: dict[str, datetime]
    """By release: when it failed somebody last."""
    added: int
    """Occurrences that came, which `seen` of the group has not."""
    releases: tuple[ReleaseRow, ...]
    counted: int
    """Occurrences in the hour that runs, without those that came."""
    this_hour: int
    """With them."""
    week_before: int
    """In the seven days before it."""
    now: datetime


class FaultBatch(msgspec.Struct):
    """What one transaction counts."""

    number: int
    """Of the run's batches, from 1: one that was counted already is left out."""
    tallies: list[GroupTally]
    late_calls: list[str]
    """Calls whose failure an earlier batch has counted."""
    now: datetime
    weigh: Callable[[GroupRow, Weighed], Change | None]
    """Says whether a group's state changes by what came."""
    escalates: Callable[[Weighed], bool]
    """Says whether it is by what came that a group escalates."""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One turn of a group's history."""

    group_id: str
    number: int
    """Of the group."""
    seq: int
    at: datetime
    actor: str
    kind: str
    from_state: str | None
    to_state: str | None
    note: str
    facts: dict[str, str]
