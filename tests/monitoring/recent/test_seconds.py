"""The readings of the last hour: around a moment, across gaps, and for no more names than there is room for."""

from exai.monitoring.minute_samples import Reading
from exai.monitoring.recent.seconds import MOST_SERIES, RecentSeconds

BEGAN = 1_700_000_000.0


def test_a_moment_has_its_own_value_the_mean_and_the_highest_around_it() -> None:
    seconds = RecentSeconds()
    for second in range(120):
        seconds.add(BEGAN + second + 0.3, [Reading("lag", 900.0 if second == 62 else 1.0)])
    (found,) = seconds.around(BEGAN + 60, 30)
    assert (found.name, found.at, found.highest) == ("lag", 1.0, 900.0)
    assert 15 < found.mean < 16
    assert seconds.around(BEGAN + 400, 30) == []


def test_after_an_hour_and_after_a_gap_nothing_old_is_told() -> None:
    seconds = RecentSeconds()
    seconds.add(BEGAN, [Reading("lag", 5.0)])
    seconds.add(BEGAN + 1_000, [Reading("lag", 7.0)])
    assert [each.at for each in seconds.around(BEGAN, 10)] == [5.0]
    assert seconds.around(BEGAN + 500, 10) == []
    seconds.add(BEGAN + 3_600, [Reading("lag", 9.0)])
    assert seconds.around(BEGAN, 10) == []
    assert [each.at for each in seconds.around(BEGAN + 1_000, 10)] == [7.0]
    seconds.add(BEGAN + 9_000, [Reading("lag", 1.0)])
    assert seconds.around(BEGAN + 3_600, 3_000) == []


def test_names_beyond_the_room_are_left_out() -> None:
    seconds = RecentSeconds()
    seconds.add(BEGAN, [Reading(f"{number:03}", 1.0) for number in range(MOST_SERIES + 5)])
    assert len(seconds.around(BEGAN, 1)) == MOST_SERIES
