"""Clocks: both faces of each, and dates."""

from datetime import UTC, datetime

import pytest

from exai.runtime.clock import ManualClock, SystemClock


def test_utc_is_the_moment_of_wall_in_utc() -> None:
    clock = ManualClock(wall=1_700_000_000.25)
    assert clock.utc() == datetime(2023, 11, 14, 22, 13, 20, 250_000, UTC)
    assert clock.utc().tzinfo is UTC


def test_the_system_clock_reads_the_machine_s_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SystemClock, "wall", staticmethod(lambda: 86_400.0))
    assert SystemClock().utc() == datetime(1970, 1, 2, tzinfo=UTC)


def test_a_manual_clock_advances_both_faces() -> None:
    clock = ManualClock()
    monotonic, wall = clock.monotonic(), clock.wall()
    clock.advance(90)
    assert (clock.monotonic() - monotonic, clock.wall() - wall) == (90, 90)
