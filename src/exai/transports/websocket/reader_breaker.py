"""A breaker per client: one that is cut off for not reading, again and again, is kept out for a while.

    closed ── cut off `stuck_limit` times in a row ──► open
    open ── `stuck_pause_s` later, and it comes back ──► half-open
    half-open ── it acknowledges something ──► closed; it is cut off again ──► open

Each such client costs a send deadline and a full buffer every time. The breaker is its session's, so no other
delivery depends on it.
"""

from exai.runtime.clock import Clock

__all__ = ["ReaderBreaker"]


class ReaderBreaker:
    """Of one session."""

    def __init__(self, limit: int, pause_s: float, clock: Clock) -> None:
        self._limit = limit
        self._pause_s = pause_s
        self._clock = clock
        self._in_a_row = 0
        self._open_until = 0.0

    @property
    def wait_s(self) -> float:
        """How long the client is kept out yet, in seconds; 0 when it may come."""
        return max(0.0, self._open_until - self._clock.monotonic())

    def note_stuck(self) -> None:
        """Count that it was cut off for not reading."""
        self._in_a_row += 1
        if self._in_a_row >= self._limit:
            self._open_until = self._clock.monotonic() + self._pause_s

    def note_reads(self) -> None:
        """Close the breaker: it acknowledged something."""
        self._in_a_row = 0
        self._open_until = 0.0
