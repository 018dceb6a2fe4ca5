"""How the groups of faults stand, in memory: what a failed call can be told of its group without asking the database.

It is read anew every few seconds, and at once when a group is opened or reopened here, so that it also shows what other
processes count and people decide. Until then a fault of this process is added to what was read.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from exai.error_tracking.faults import OWN_PROJECT
from exai.error_tracking.known_faults import known_faults
from exai.error_tracking.noticing import FaultSeen
from exai.error_tracking.tracker import ErrorGroupOpened, ErrorRegressed
from exai.events.bus import EventBus
from exai.events.events import Event
from exai.runtime.clock import Clock
from exai.storage.error_tracking.following import FollowedGroup, GroupChanges
from exai.storage.error_tracking.rows import State

__all__ = ["ErrorGroupsChanged", "KnownGroup", "KnownGroups", "follow_groups"]

MOST_HASHES = 10_000
"""That are held; of more, those that were seen last."""
OVERLAP = timedelta(seconds=60)
"""By how much a reading goes back behind the one before: clocks of other hosts differ, and batches take a while."""


class ErrorGroupsChanged(Event, frozen=True):
    """Groups were seen, decided on, merged or split, here or by another process."""

    numbers: tuple[int, ...]


class KnownGroup(msgspec.Struct, frozen=True):
    """What is known of a group."""

    group: str
    """As `E-17`."""
    seen: int
    state: State
    cause: str | None
    """In one line; `None`: nobody knows."""


class KnownGroups:
    """Finds the group of a fault by its hash."""

    def __init__(self) -> None:
        self._read: dict[tuple[int, str], FollowedGroup] = {}
        self._added: Counter[tuple[int, str]] = Counter()
        """Faults of this process since then."""

    def find(self, hash_: str) -> KnownGroup | None:
        """Return how the group of one of EXAI's own faults stands; `None`: it has none yet."""
        key = (OWN_PROJECT, hash_)
        found = self._read.get(key)
        if found is None:
            return None
        known = known_faults().get(found.code or "")
        cause = None if known is None else known.means
        return KnownGroup(f"E-{found.number}", found.seen + self._added[key], found.state, cause)

    def update(self, groups: Sequence[FollowedGroup]) -> tuple[int, ...]:
        """Take what was read, newest first; return the numbers of the groups that are not as they were."""
        changed: dict[int, None] = {}
        for each in reversed(groups):  # what was seen last stays longest
            key = (each.project_id, each.hash)
            before = self._read.pop(key, None)
            self._read[key] = each
            if before != each:
                changed |= dict.fromkeys([each.number] if before is None else [before.number, each.number])
                del self._added[key]
        while len(self._read) > MOST_HASHES:
            forgotten = next(iter(self._read))
            del self._read[forgotten], self._added[forgotten]
        return tuple(changed)

    def on_fault(self, event: FaultSeen) -> None:
        """Count a fault of this process in its group."""
        key = (event.fault.project, event.fingerprint.hash)
        if key in self._read and not event.again:
            self._added[key] += 1


class _Following:
    """Reads what changed since the reading before."""

    def __init__(
        self, known: KnownGroups, changes: GroupChanges, clock: Clock, publish: Callable[[Event], None]
    ) -> None:
        self._known = known
        self._changes = changes
        self._clock = clock
        self._publish = publish
        self._since: datetime | None = None

    async def run(self) -> None:
        """Read, and tell of what changed.

        Raises:
            StoreFailed: the database is out of reach; what is known stays.
        """
        now = self._clock.utc()
        first, groups = self._since is None, await self._changes.since(self._since, MOST_HASHES)
        self._since = now - OVERLAP
        changed = self._known.update(groups)
        if changed and not first:
            self._publish(ErrorGroupsChanged(changed))


def follow_groups(
    known: KnownGroups, changes: GroupChanges, clock: Clock, bus: EventBus, wake: asyncio.Event
) -> _Following:
    """Make the duty's work that keeps `known` as the database is; `wake` is set when it is to be done at once."""

    def soon(_: Event) -> None:
        wake.set()

    bus.watch(known.on_fault, FaultSeen)
    bus.watch(soon, ErrorGroupOpened)
    bus.watch(soon, ErrorRegressed)
    return _Following(known, changes, clock, bus.publish)
