"""The states of a group of faults, as a pure function of what comes and what people decide.

=========  ===========================  ========  =====================================================================
from       by                           to        rule
=========  ===========================  ========  =====================================================================
           an occurrence                open      turn `first_seen`
open       a person                     resolved  now, in a release, or in the next one
open       a person                     archived  until a moment, until so many more, until so many an hour, for good
archived   an occurrence                open      its condition is met, or the group escalates; not what is archived for
                                                  good; turn `archive_ended`
archived   a person                     open      turn `reopened`
archived   a person                     resolved  its condition is forgotten
resolved   an occurrence                open      where it counts: turn `regressed`
resolved   a person                     open      turn `reopened`
resolved   a person                     archived  refused: it has to be opened first
=========  ===========================  ========  =====================================================================

An occurrence counts against a group that was resolved *now* from 60 s afterwards, by our clock and by its reporter's;
*in a release*, if its own is that one or later; *in the next one*, if its own was first seen after the decision. An
unknown release is the newest. What a retry put right changes no state.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from exai.error_tracking.releases import is_at_least
from exai.errors import ToolFault
from exai.storage.error_tracking.rows import Change, GroupRow, ReleaseRow, State, Weighed

__all__ = [
    "IN_NEXT",
    "DecisionRefused",
    "archive",
    "begins_to_escalate",
    "is_escalating",
    "reopen",
    "resolve",
    "weigh",
]

IN_NEXT = "next"
"""Stands for the first release after the decision."""

GRACE = timedelta(seconds=60)
"""After something was resolved, what was under way may still end."""
LEAST_ESCALATION = 20
ESCALATION = 5
WEEK_HOURS = 7 * 24


class DecisionRefused(ToolFault):
    """A group cannot take this decision in the state that it has."""

    code = "decision_refused"
    http_status = 409
    fixable_by = "caller"


def resolve(group: GroupRow, *, at: datetime, release: str | None = None) -> Change:
    """Resolve a group: now, or in a release (`next`: whichever comes).

    Raises:
        DecisionRefused: it is resolved.
    """
    _refuse_from(group, "resolved")
    facts = {} if release is None else {"release": release}
    return Change(kind="resolved", state="resolved", resolved_at=at, resolved_in=release, facts=facts)


def archive(
    group: GroupRow, *, until: datetime | None = None, more: int | None = None, hourly: int | None = None
) -> Change:
    """Archive a group until one of the conditions is met; without any, for good.

    Raises:
        DecisionRefused: it is archived, or resolved.
    """
    _refuse_from(group, "archived", "resolved")
    told = {
        "until": None if until is None else until.isoformat(timespec="seconds"),
        "more": more,
        "hourly": hourly,
    }
    return Change(
        kind="archived",
        state="archived",
        archived_until=until,
        archived_count=None if more is None else group.seen + more,
        archived_rate=hourly,
        facts={name: str(value) for name, value in told.items() if value is not None},
    )


def reopen(group: GroupRow) -> Change:
    """Open a group again.

    Raises:
        DecisionRefused: it is open.
    """
    _refuse_from(group, "open")
    return Change(kind="reopened", state="open")


def weigh(group: GroupRow, weighed: Weighed) -> Change | None:
    """Say whether what came changes the state of a group that is known."""
    if not weighed.latest:
        return None
    if group.state == "resolved":
        for release, at in weighed.latest.items():
            if _regresses(group, release, at, weighed.releases):
                return Change(kind="regressed", state="open", facts={"release": release} if release else {})
    if group.state == "archived":
        reason = _ends_archive(group, weighed)
        if reason is not None:
            return Change(kind="archive_ended", state="open", facts={"reason": reason})
    return None


def is_escalating(this_hour: int, week_before: int) -> bool:
    """Whether an hour has far more occurrences than those of the week before it had."""
    return this_hour >= LEAST_ESCALATION and this_hour > ESCALATION * week_before / WEEK_HOURS


def begins_to_escalate(weighed: Weighed) -> bool:
    """Whether it is by what came that a group is escalating in this hour."""
    return is_escalating(weighed.this_hour, weighed.week_before) and not is_escalating(
        weighed.counted, weighed.week_before
    )


def _regresses(group: GroupRow, release: str, at: datetime, known: Sequence[ReleaseRow]) -> bool:
    resolved_at = group.resolved_at
    if resolved_at is None:
        return True
    if group.resolved_in is None:
        return at >= resolved_at + GRACE
    if group.resolved_in == IN_NEXT:
        later = [each.release for each in known if each.first_seen > resolved_at]
        return release in later or (not release and bool(later))
    return is_at_least(release, group.resolved_in, known)


def _ends_archive(group: GroupRow, weighed: Weighed) -> str | None:
    """Say why an archived group is shown again; `None`: it is not."""
    if group.archived_until is None and group.archived_count is None and group.archived_rate is None:
        return None
    if group.archived_until is not None and weighed.now >= group.archived_until:
        return "its time is over"
    if group.archived_count is not None and group.seen + weighed.added >= group.archived_count:
        return "it was seen as often as was allowed"
    if group.archived_rate is not None and weighed.this_hour >= group.archived_rate:
        return "it was seen as often in an hour as was allowed"
    return "it escalates" if is_escalating(weighed.this_hour, weighed.week_before) else None


def _refuse_from(group: GroupRow, *states: State) -> None:
    if group.state in states:
        what = "Reopen it first." if group.state == "resolved" and len(states) > 1 else "Nothing is changed."
        raise DecisionRefused(
            f"E-{group.number} is {group.state} (version {group.version}); it cannot be "
            f"{states[0] if states[0] != 'open' else 'opened'}. {what}"
        )
