"""Which groups are investigated by themselves."""

from datetime import timedelta
from typing import Any

import pytest

from exai.error_tracking.investigation.selection import Situation, may_begin, paused_until, reason_for, score
from exai.storage.error_tracking.investigations import InvestigationRow
from support.investigated_faults import NOW, group


def row(hours_ago: float = 25, **changed: Any) -> InvestigationRow:
    at = NOW - timedelta(hours=hours_ago)
    known: dict[str, Any] = dict.fromkeys(InvestigationRow.__struct_fields__)
    known |= {"state": "done", "seen": 3, "asked_at": at, "ended_at": at, "release": "1.0.0"}
    return InvestigationRow(**{**known, **changed})


def situation(**changed: Any) -> Situation:
    known = {"latest": None, "regressed_at": None, "rates": (0, 0), "day": 3, "now": NOW}
    return Situation(**{**known, **changed})


@pytest.mark.parametrize("fixable_by", ["developer", None])
def test_a_new_group_of_our_own_or_of_unknown_cause_is_looked_at(fixable_by: str | None) -> None:
    assert may_begin(group(fixable_by=fixable_by), None, NOW)
    assert reason_for(group(fixable_by=fixable_by), situation()) == "new"


@pytest.mark.parametrize(
    "changed",
    [
        {"own_doing": 1},
        {"project_id": 2},
        {"state": "resolved"},
        {"state": "archived"},
        {"fixable_by": "operator"},
        {"fixable_by": "provider"},
        {"fixable_by": "caller"},
        {"handled": 3},
    ],
)
def test_what_is_known_ours_by_doing_another_programs_or_put_right_is_not(changed: dict[str, Any]) -> None:
    assert not may_begin(group(**changed), None, NOW)


@pytest.mark.parametrize(
    ("latest", "may"),
    [(row(23), False), (row(23, state="running", ended_at=None), False), (row(24), True)],
)
def test_a_group_rests_for_a_day(latest: InvestigationRow, *, may: bool) -> None:
    assert may_begin(group(), latest, NOW) is may


@pytest.mark.parametrize(
    ("known", "seen", "reason"),
    [
        ({}, 3, None),
        ({"regressed_at": NOW}, 3, "regressed"),
        ({"regressed_at": NOW - timedelta(hours=26)}, 3, None),
        ({"rates": (30, 10)}, 30, "escalated"),
        ({"rates": (30, 10)}, 29, None),
        ({"rates": (3, 10)}, 30, None),
    ],
)
def test_a_group_is_looked_at_again_when_it_came_back_or_is_ten_times_as_loud(
    known: dict[str, Any], seen: int, reason: str | None
) -> None:
    assert reason_for(group(seen=seen), situation(latest=row(), **known)) == reason


def test_the_loudest_to_most_callers_and_the_newest_goes_first() -> None:
    one = score(group(), situation())
    assert score(group(), situation(day=300)) > one
    assert score(group(callers=3), situation()) > one
    assert score(group(), situation(latest=row())) < one
    assert score(group(), situation(latest=row(), regressed_at=NOW)) > score(group(), situation(latest=row()))


def test_three_failures_in_a_row_stop_it_for_an_hour() -> None:
    failed = [row(hours, state="failed") for hours in (1, 2, 3)]
    assert paused_until(failed) == NOW
    assert paused_until(failed[:2]) is None
    assert paused_until([*failed[:2], row(4)]) is None
