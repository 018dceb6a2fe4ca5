"""Which groups are investigated by themselves, and in which order."""

import math
from datetime import datetime, timedelta

import msgspec

from exai.error_tracking.faults import OWN_PROJECT
from exai.error_tracking.states import is_escalating
from exai.storage.error_tracking.investigations import InvestigationRow, Reason
from exai.storage.error_tracking.rows import GroupRow

__all__ = ["Situation", "may_begin", "paused_until", "reason_for", "score"]

REST = timedelta(hours=24)
"""Between two investigations of a group."""
TENFOLD = 10
FAILURES = 3
PAUSE = timedelta(hours=1)
KNOWN_CAUSES = frozenset({"operator", "provider", "caller"})
"""Who can mend it is known, and so is the cause, from the error's own code."""


class Situation(msgspec.Struct, frozen=True):
    """What decides about a group, beside its row."""

    latest: InvestigationRow | None
    """The latest investigation of it."""
    regressed_at: datetime | None
    """When it opened again the last time."""
    rates: tuple[int, int]
    """How often it was seen in the hour that runs, and in the seven days before."""
    day: int
    """How often it was seen within a day."""
    now: datetime


def may_begin(group: GroupRow, latest: InvestigationRow | None, now: datetime) -> bool:
    """Return whether a group may be investigated by itself now, if there is a reason.

    Args:
        latest: its latest investigation.
    """
    has_rested = latest is None or (latest.ended_at is not None and latest.ended_at <= now - REST)
    return _is_eligible(group) and has_rested


def reason_for(group: GroupRow, situation: Situation) -> Reason | None:
    """Say why a group that may be investigated is; `None`: its row gives no reason."""
    latest = situation.latest
    if latest is None:
        return "new"
    if situation.regressed_at is not None and situation.regressed_at > latest.asked_at:
        return "regressed"
    if group.seen >= TENFOLD * max(latest.seen, 1) and is_escalating(*situation.rates):
        return "escalated"
    return None


def _is_eligible(group: GroupRow) -> bool:
    """Return whether a group is open, of EXAI itself, not its own doing, and its cause is not known from its code."""
    is_own = group.project_id == OWN_PROJECT and not group.own_doing
    is_known = group.fixable_by in KNOWN_CAUSES or group.seen == group.handled
    return is_own and group.state == "open" and not is_known


def score(group: GroupRow, situation: Situation) -> float:
    """Say how much a group is worth: how loud it is, to how many, and how new; the greatest goes first."""
    novelty = 1.0 if situation.latest is None else 0.5
    returned = 1.5 if situation.regressed_at is not None else 1.0
    return math.log1p(situation.day) * max(group.callers, 1) * novelty * returned


def paused_until(latest_ended: list[InvestigationRow]) -> datetime | None:
    """Say until when none begins by itself, as the last ones failed in a row; `None`: they did not.

    Args:
        latest_ended: those that are over, the latest first.
    """
    last = latest_ended[:FAILURES]
    if len(last) < FAILURES or any(each.state != "failed" for each in last):
        return None
    ended = last[0].ended_at
    return None if ended is None else ended + PAUSE
