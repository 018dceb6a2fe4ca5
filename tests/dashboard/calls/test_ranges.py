"""Ranges and cursors of queries."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exai.dashboard.calls.ranges import Cursors, Range, moment_of, range_of
from exai.errors import BadArguments

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def test_a_range_is_a_day_unless_it_says_more() -> None:
    assert range_of("", "", NOW) == Range(NOW - timedelta(days=1), NOW)
    assert range_of("-1h", "", NOW) == Range(NOW - timedelta(hours=1), NOW)
    assert range_of("2026-11-01", "2026-11-02T00:00:00Z", NOW) == Range(
        datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
    )
    assert range_of("", "2026-11-02T02:00:00 02:00", NOW).until == datetime(2026, 11, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("-367d", ""),
        ("2020-01-01", ""),
        ("0001-01-01", "9999-12-31"),
        ("-1h", "-2h"),
        ("soon", ""),
        ("", "x"),
        ("", "0001-01-01T12:00:00Z"),
    ],
)
def test_a_range_of_years_or_none_at_all_is_refused_with_a_sentence(since: str, until: str) -> None:
    with pytest.raises(BadArguments, match=r"^(from|to): .*\.$"):
        range_of(since, until, NOW)


@given(st.text(max_size=30))
def test_a_moment_is_read_or_refused(text: str) -> None:
    with suppress(BadArguments):
        assert moment_of("at", text, NOW).tzinfo is not None


def test_a_cursor_is_good_for_its_query_alone() -> None:
    range_, place = Range(NOW, NOW), (NOW, "call_1")
    cursor = Cursors("tool:chat", "-1h").write(range_, place)
    assert Cursors("tool:chat", "-1h").read(cursor) == (range_, place)
    for others in (("tool:chat", "-2h"), ("tool:chat-1h", ""), ()):
        with pytest.raises(BadArguments, match="another query"):
            Cursors(*others).read(cursor)


@given(st.text(max_size=80))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(BadArguments, match=r"^cursor: "):
        Cursors("q").read(text)


NAIVE = NOW.replace(tzinfo=None)
FIRST = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
LAST = datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-14)))


@pytest.mark.parametrize(
    ("range_", "place"),
    [
        (Range(NAIVE, NAIVE), (NOW, "call_1")),
        (Range(NOW, NOW), (NAIVE, "call_1")),
        (Range(FIRST, NOW), (NOW, "call_1")),
        (Range(NOW, NOW), (LAST, "call_1")),
        (Range(NOW - timedelta(days=367), NOW), (NOW, "call_1")),
        (Range(NOW, NOW - timedelta(days=1)), (NOW, "call_1")),
        (Range(NOW, NOW), (NOW, "call\0")),
    ],
)
def test_a_cursor_that_somebody_wrote_asks_for_nothing_that_a_query_may_not(
    range_: Range, place: tuple[datetime, str]
) -> None:
    forged = Cursors("tool:chat").write(range_, place)
    with pytest.raises(BadArguments, match="Begin again without one"):
        Cursors("tool:chat").read(forged)
