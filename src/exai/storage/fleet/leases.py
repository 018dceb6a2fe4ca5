"""Leases: what one process does for all, until it stops beating and another one takes over.

Whose turn it is, is one pure function; the table is asked by the beat of each process, in its transaction. Only the
holder writes. Who waits for a lease takes it with its first beat after the lease ran out. A row that somebody holds
locked is left alone, so that a process which froze while it had it keeps no other from beating.
"""

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, bindparam, select, update

from exai.storage.dialects import insert_if_absent
from exai.storage.fleet.schema import leases

__all__ = ["HOUSEKEEPER", "Lease", "give_up", "take", "turn"]

HOUSEKEEPER = "housekeeper"
"""Deletes what is past its age, and marks what the dead left open."""


class Lease(msgspec.Struct, frozen=True):
    """Who has it, and until when if it is not renewed."""

    holder: str
    until: datetime


def turn(lease: Lease | None, who: str, now: datetime, lease_s: float) -> Lease:
    """Return who has a lease after `who` asked for it; the same object if that changes nothing."""
    ends_after = timedelta(seconds=lease_s)
    # A lease that ends later than any can was given before the clock was set back.
    if lease is not None and lease.holder != who and now < lease.until <= now + ends_after:
        return lease
    return Lease(who, now + ends_after)


def take(connection: Connection, name: str, who: str, now: datetime, lease_s: float) -> bool:
    """Take or renew a lease if it is free or one's own; whether `who` has it."""
    found = connection.execute(_FIND, {"name": name}).first()
    lease = None if found is None else Lease(*found)
    if lease is None:
        row = {"name": name, **msgspec.structs.asdict(turn(None, who, now, lease_s))}
        return _ADD.execute(connection, row).rowcount == 1
    after = turn(lease, who, now, lease_s)
    if after is lease:
        return False
    locked = connection.execute(_LOCK, {"name": name}).first()
    if locked is None or Lease(*locked) != lease:
        return False
    changed = update(leases).where(leases.c.name == name).values(msgspec.structs.asdict(after))
    connection.execute(changed)
    return True


def give_up(connection: Connection, who: str, now: datetime) -> None:
    """Let others have every lease of `who` at once."""
    connection.execute(update(leases).where(leases.c.holder == who).values(until=now))


_FIND = select(leases.c.holder, leases.c.until).where(leases.c.name == bindparam("name"))
_LOCK = _FIND.with_for_update(skip_locked=True)
_ADD = insert_if_absent(leases)
