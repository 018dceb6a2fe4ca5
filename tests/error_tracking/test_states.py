"""The states of a group: who may change what, when something counts against it, and in which order releases are."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from exai.error_tracking.releases import is_at_least
from exai.error_tracking.states import (
    DecisionRefused,
    archive,
    is_escalating,
    reopen,
    resolve,
    weigh,
)
from exai.storage.error_tracking.rows import Change, GroupRow, ReleaseRow, Weighed

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
OPEN = GroupRow(
    group_id="grp_1",
    number=1,
    project_id=1,
    title="t",
    kind="k",
    culprit="c",
    code=None,
    fixable_by=None,
    own_doing=0,
    state="open",
    version=1,
    seen=10,
    handled=0,
    stored=0,
    lost=0,
    callers=0,
    first_seen=NOW,
    last_seen=NOW,
    first_release="1.0.0",
    last_release="1.0.0",
    resolved_at=None,
    resolved_in=None,
    archived_until=None,
    archived_count=None,
    archived_rate=None,
)
KNOWN = tuple(
    ReleaseRow(name, ordinal, NOW + timedelta(hours=ordinal - 3))
    for ordinal, name in enumerate(("1.0.0", "1.1.0", "1.2.0", "1.3.0"), 1)
)


def after(group: GroupRow, change: Change) -> GroupRow:
    fields = {
        name: getattr(change, name) for name in Change.__struct_fields__ if name not in {"kind", "facts"}
    }
    return structs.replace(group, version=group.version + 1, **fields)


def came(
    release: str = "1.2.0", *, later: float = 3_600, added: int = 1, this_hour: int = 1, before: int = 0
) -> Weighed:
    at = NOW + timedelta(seconds=later)
    return Weighed({release: at}, added, KNOWN, 0, this_hour, before, at)


def turned(group: GroupRow, weighed: Weighed) -> str | None:
    change = weigh(group, weighed)
    return None if change is None else change.kind


RESOLVED = after(OPEN, resolve(OPEN, at=NOW))


@pytest.mark.parametrize(("later", "turn"), [(0, None), (59, None), (60, "regressed")])
def test_what_was_resolved_now_comes_back_after_a_minute(later: float, turn: str | None) -> None:
    assert turned(RESOLVED, came(later=later)) == turn


@pytest.mark.parametrize(
    ("release", "turn"),
    [
        ("1.0.0", None),
        ("1.1.0", "regressed"),
        ("1.2.0", "regressed"),
        ("", "regressed"),
        ("9.0", "regressed"),
    ],
)
def test_what_was_resolved_in_a_release_comes_back_from_that_one_on(release: str, turn: str | None) -> None:
    group = after(OPEN, resolve(OPEN, at=NOW, release="1.1.0"))
    assert turned(group, came(release, later=1)) == turn


@pytest.mark.parametrize(("release", "turn"), [("1.0.0", None), ("1.2.0", None), ("1.3.0", None), ("", None)])
def test_nothing_comes_back_before_the_next_release(release: str, turn: str | None) -> None:
    group = after(OPEN, resolve(OPEN, at=NOW + timedelta(days=1), release="next"))
    assert turned(group, came(release, later=90_000)) == turn


def test_what_was_resolved_in_the_next_release_comes_back_in_it() -> None:
    group = after(OPEN, resolve(OPEN, at=NOW, release="next"))
    assert [turned(group, came(release)) for release in ("1.2.0", "1.3.0", "")] == [
        None,
        "regressed",
        "regressed",
    ]


@pytest.mark.parametrize(
    ("conditions", "weighed", "turn"),
    [
        ({"until": NOW + timedelta(hours=2)}, came(later=3_600), None),
        ({"until": NOW + timedelta(hours=1)}, came(later=3_600), "archive_ended"),
        ({"more": 5}, came(added=4), None),
        ({"more": 5}, came(added=5), "archive_ended"),
        ({"hourly": 7}, came(this_hour=6), None),
        ({"hourly": 7}, came(this_hour=7), "archive_ended"),
        ({"more": 10_000}, came(this_hour=20, before=168 * 3), "archive_ended"),
        ({"more": 10_000}, came(this_hour=20, before=168 * 4), None),
        ({}, came(this_hour=10**6), None),
    ],
)
def test_what_is_archived_is_shown_again_when_its_condition_is_met(
    conditions: dict[str, object], weighed: Weighed, turn: str | None
) -> None:
    group = after(OPEN, archive(OPEN, **conditions))  # type: ignore[arg-type]
    assert turned(group, weighed) == turn


def test_what_a_retry_put_right_changes_nothing() -> None:
    nothing = structs.replace(came(), latest={})
    assert turned(RESOLVED, nothing) is None


def test_escalating_is_much_more_than_the_week_before() -> None:
    assert is_escalating(20, 0)
    assert not is_escalating(19, 0)
    assert not is_escalating(20, 4 * 168)


LEGAL = {
    ("open", "resolve"): "resolved",
    ("open", "archive"): "archived",
    ("archived", "resolve"): "resolved",
    ("archived", "reopen"): "open",
    ("resolved", "reopen"): "open",
}
DECISIONS = {
    "resolve": lambda group: resolve(group, at=NOW),
    "archive": archive,
    "reopen": reopen,
}


@given(st.lists(st.sampled_from([*DECISIONS, "seen"]), max_size=30))
def test_no_walk_makes_a_pair_that_is_not_in_the_table(steps: list[str]) -> None:
    group = OPEN
    for step in steps:
        if step == "seen":
            change = weigh(group, came())
            if change is not None:
                assert (group.state, change.state) in {("resolved", "open"), ("archived", "open")}
                group = after(group, change)
            continue
        expected = LEGAL.get((group.state, step))
        if expected is None:
            with pytest.raises(DecisionRefused):
                DECISIONS[step](group)
        else:
            group = after(group, DECISIONS[step](group))
            assert group.state == expected
        if group.state != "archived":
            assert group.archived_count is None


@pytest.mark.parametrize(
    ("release", "least", "is_newer"),
    [
        ("1.10.0", "1.9.0", True),
        ("1.9.0", "1.10.0", False),
        ("1.0.0-rc.1", "1.0.0", False),
        ("1.0.0", "1.0.0-rc.1", True),
        ("2.0.0rc1", "2.0.0", False),
        ("shop@1.2.0", "shop@1.1.9", True),
        ("1.0.0+abc", "1.0.0+def", False),
        ("blue", "1.1.0", True),
        ("", "9.9.9", True),
    ],
)
def test_releases_are_in_order(release: str, least: str, is_newer: bool) -> None:
    known = (*KNOWN, ReleaseRow("1.0.0+abc", 5, NOW), ReleaseRow("1.0.0+def", 6, NOW))
    assert is_at_least(release, least, known) is is_newer
