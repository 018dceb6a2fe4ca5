"""Judges by beats who is over. Pure: others bring what the database's clock says, and how much time passed here.

A run is over when its state is `gone`, or when its last beat is farther than a lease from the database's time, has
been known for half a lease without another one, and whoever judges has beaten itself through a whole lease without a
gap. An outage of the database stops all beats alike: who comes back first finds those of everybody else old, and can
say of none that it is dead before a lease has passed in which they could have come back as well. A jump of the clock is
to an observer what an outage is, and so is time in which it stood still itself; a beat that changes is a sign of life,
whatever it says. The host's clock is compared with nothing but itself.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

__all__ = ["DRAINING", "GONE", "SERVING", "Beat", "Heartbeat"]

SERVING = "serving"
DRAINING = "draining"
GONE = "gone"

HALF = 0.5
"""Of a lease: the longest gap between two beats of an observer for it to have seen what happened in between, and how
long a beat has to be known. Who lives beats again within it."""
MOST_FORMER = 1_000
"""Beats that are known and in no picture any more; of more, those of long ago are forgotten, and new if they come."""
FORGOTTEN_AFTER = 10
"""Leases that are long ago."""


class Beat(msgspec.Struct, frozen=True):
    """What was last heard of a run."""

    run_id: str
    state: str
    at: float
    """Seconds since 1970, by the database's clock."""
    serves: bool = True
    """Whether it is a daemon, and no command that works for a moment."""


class Heartbeat:
    """What one run knows of others by its own beats."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._since: tuple[float, float] | None = None
        """The first of its own beats that no gap follows, by the database's clock and by that of this process;
        `None`: the latest attempt failed."""
        self._latest = (0.0, 0.0)
        self.over: frozenset[str] = frozenset()
        """Runs of the picture that are over."""
        self._known: dict[str, tuple[float, float]] = {}
        """Beats by run, and since when they are known, by the clock of this process."""
        self.is_sure = False
        """Whether its own beats succeeded through a whole lease, so that a beat that is missing means something."""
        self.picture: Mapping[str, Beat] = MappingProxyType({})
        """Beats by run, as the latest own beat found them."""

    def saw(self, now: float, here: float, beats: Iterable[Beat]) -> frozenset[str]:
        """Take what an own beat found; return the runs that turned out to be over since the one before.

        Args:
            now: by the database's clock.
            here: by a clock of this process that only goes forward.
        """
        (before, before_here), self._latest = self._latest, (now, here)
        if self._since is None or not (self._is_short(now - before) and self._is_short(here - before_here)):
            self._since = self._latest
        since, since_here = self._since
        self.is_sure = now - since >= self._lease_s and here - since_here >= self._lease_s
        self.picture = MappingProxyType({beat.run_id: beat for beat in beats})
        if len(self._known) > len(self.picture) + MOST_FORMER:
            self._forget(here)
        over = frozenset(beat.run_id for beat in self.picture.values() if self.is_over(beat, now))
        new, self.over = over - self.over, over
        return new

    def missed(self) -> None:
        """Note that an own beat failed, or that nobody knows whether it did."""
        self._since, self.is_sure = None, False

    def is_over(self, beat: Beat, now: float) -> bool:
        """Whether a run is over whose last beat was found at `now`."""
        if beat.state == GONE:
            return True
        here = self._latest[1]
        at, known_since = self._known.get(beat.run_id, (None, here))
        if at != beat.at:
            self._known[beat.run_id] = (beat.at, here)
            return False
        is_known = self._is_short(now - self._latest[0]) and here - known_since >= HALF * self._lease_s
        return self.is_sure and is_known and abs(now - beat.at) > self._lease_s

    def _is_short(self, gap: float) -> bool:
        return 0 <= gap <= HALF * self._lease_s

    def _forget(self, here: float) -> None:
        oldest = here - FORGOTTEN_AFTER * self._lease_s
        self._known = {
            run_id: known
            for run_id, known in self._known.items()
            if known[1] > oldest or run_id in self.picture
        }
