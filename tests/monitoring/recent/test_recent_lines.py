"""The latest lines of the log: how many are held, and which are near a fault."""

from exai.monitoring.recent.lines import RecentLines


def test_no_more_lines_and_characters_are_held_than_were_allowed() -> None:
    lines = RecentLines(most_lines=3, most_characters=20)
    for number in range(5):
        lines.add(float(number), f"line {number}")
    assert lines.around(0.0, 100.0) == ["line 2", "line 3", "line 4"]
    lines.add(5.0, "x" * 15)
    assert lines.around(0.0, 100.0) == ["x" * 15]
    lines.add(6.0, "y" * 21)
    assert lines.around(0.0, 100.0) == []


def test_lines_of_a_call_come_before_those_that_are_only_near() -> None:
    lines = RecentLines()
    for second in range(100):
        lines.add(float(second), f"at {second}" + (" call_1" if second in {0, 99} else ""))
    assert lines.around(50.0, 2.0, "call_1", None) == [
        "at 0 call_1",
        "at 48",
        "at 49",
        "at 50",
        "at 51",
        "at 52",
        "at 99 call_1",
    ]
    assert lines.around(50.0, 30.0, "call_1", most=3) == ["at 0 call_1", "at 50", "at 99 call_1"]


def test_colours_of_a_terminal_are_left_out() -> None:
    lines = RecentLines()
    lines.add(1.0, "\x1b[2mone\x1b[0m \x1b[1;31mtwo\x1b[0m")
    assert lines.around(1.0, 1.0) == ["one two"]
