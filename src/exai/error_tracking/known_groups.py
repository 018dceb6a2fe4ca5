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
from exai.error_tracking.provenance import Provenance
from exai.error_tracking.tracker import ErrorGroupOpened, ErrorRegressed
from exai.events.bus import EventBus
from exai.events.events import Event
from exai.runtime.clock import Clock
from exai.storage.error_tracking.following import FollowedGroup, GroupChanges
from exai.storage.error_tracking.rows import State

__all__ = ["ErrorGroupsChanged", "KnownGroup", "KnownGroups", "follow_groups"]

MOST_HASHES = 10_000
"""That are held; of more, those that were seen last."""
LONGEST_CAUSE = 200
OVERLAP = timedelta(seconds=60)
"""By how much a reading goes back behind the one before: clocks of other hosts differ, and batches take a while."""


class ErrorGroupsChanged(Event, frozen=True):
    """Groups were seen, decided on, merged or split, here or by another process."""

    numbers: tuple[int, ...]
    turned: bool
    """Whether something happened to one of them beside being seen: its history goes on."""


class KnownGroup(msgspec.Struct, frozen=True):
    """What is known of a group."""

    group: str
    """As `E-17`."""
    seen: int
    state: State
    cause: str | None
    """In one line; `None`: nobody knows."""
    cause_by: Provenance = "server"
    """Who wrote it: `outside` where a model did, and its citations hold."""


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
        name, seen = f"E-{found.number}", found.seen + self._added[key]
        if (explained := _cause_in(found.report)) is not None:
            return KnownGroup(name, seen, found.state, explained, "outside")
        known = known_faults().get(found.code or "")
        return KnownGroup(name, seen, found.state, None if known is None else known.means)

    def update(self, groups: Sequence[FollowedGroup]) -> ErrorGroupsChanged | None:
        """Take what was read, newest first; return which groups are not as they were."""
        changed: dict[int, None] = {}
        turned = False
        for each in reversed(groups):  # what was seen last stays longest
            key = (each.project_id, each.hash)
            before = self._read.pop(key, None)
            self._read[key] = each
            if before != each:
                changed |= dict.fromkeys([each.number] if before is None else [before.number, each.number])
                turned |= before is None or (before.number, before.version) != (each.number, each.version)
                del self._added[key]
        while len(self._read) > MOST_HASHES:
            forgotten = next(iter(self._read))
            del self._read[forgotten], self._added[forgotten]
        return ErrorGroupsChanged(tuple(changed), turned) if changed else None

    def on_fault(self, event: FaultSeen) -> None:
        """Count a fault of this process in its group."""
        key = (event.fault.project, event.fingerprint.hash)
        if key in self._read and not event.again:
            self._added[key] += 1


def _cause_in(report: str | None) -> str | None:
    """Read the cause that a report names, as one line."""
    if report is None:
        return None
    try:
        cause = msgspec.json.decode(report, type=_Cause).cause
    except msgspec.DecodeError:
        return None
    line = " ".join("".join(each if each.isprintable() else " " for each in cause).split())
    return f"{line[:LONGEST_CAUSE]}…" if len(line) > LONGEST_CAUSE else line or None


class _Cause(msgspec.Struct, frozen=True):
    """What of a report is wanted here."""

    cause: str = ""


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
        if changed is not None and not first:
            self._publish(changed)


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
