"""A breaker per client, on a clock that moves when told."""

from exai.runtime.clock import ManualClock
from exai.transports.websocket.reader_breaker import ReaderBreaker


def test_it_opens_after_so_many_in_a_row_and_for_so_long() -> None:
    clock = ManualClock()
    breaker = ReaderBreaker(2, 30.0, clock)
    breaker.note_stuck()
    assert breaker.wait_s == 0
    breaker.note_stuck()
    assert breaker.wait_s == 30
    clock.advance(29)
    assert breaker.wait_s == 1
    clock.advance(2)
    assert breaker.wait_s == 0


def test_half_open_one_more_is_enough_and_reading_closes_it() -> None:
    clock = ManualClock()
    breaker = ReaderBreaker(2, 30.0, clock)
    for _ in range(2):
        breaker.note_stuck()
    clock.advance(31)
    breaker.note_stuck()
    assert breaker.wait_s == 30
    breaker.note_reads()
    assert breaker.wait_s == 0
    breaker.note_stuck()
    assert breaker.wait_s == 0
