"""Counts faults: a batch of them is one transaction, which all processes on the database take in turn.

Order of truth: a fault is counted once its batch is committed; a batch that was committed although its process did not
learn of it is recognised by its number, in the row of its run. A failed call is marked as counted in the same
transaction.
"""

import math
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, func, insert, select, update

from exai.errors import StoreFailed
from exai.storage.database import Database
from exai.storage.dialects import add_up, insert_if_absent
from exai.storage.error_tracking.announcing import announce_group
from exai.storage.error_tracking.rows import (
    FaultBatch,
    GroupRow,
    GroupTally,
    NewOccurrence,
    ReleaseRow,
    Turn,
    Weighed,
)
from exai.storage.error_tracking.schema import (
    error_callers,
    error_counts,
    error_fingerprints,
    error_groups,
    error_occurrences,
    releases,
)
from exai.storage.error_tracking.turns import add_turn, change_state
from exai.storage.faults import Verdict, verdict_on
from exai.storage.fleet.schema import replicas
from exai.storage.notices.writing import NOBODY, Targets
from exai.storage.schema import calls
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["BatchRefused", "FaultCounts", "count_tallies", "exponent_of", "hour_of"]

KEPT_WHOLE = 20
"""Occurrences of a group that are all kept; of later ones ever fewer."""
MOST_CALLERS = 1_000
"""Different callers that a group is counted for."""
WEEK = timedelta(days=7)


class BatchRefused(Exception):
    """The database does not accept what is in a batch."""


class FaultCounts:
    """Writes what a process noticed, and what webhooks are to be told of it."""

    def __init__(self, database: Database, targets: Targets = NOBODY) -> None:
        self._database = database
        self._targets = targets

    @property
    def waits(self) -> bool:
        """Whether ends of calls wait for the database, which have to be there before they are marked as counted."""
        return self._database.pending_durable_writes > 0

    async def count(self, batch: FaultBatch) -> list[Turn]:
        """Count a batch, once, and return what it turned.

        Raises:
            StoreFailed: it was not kept, or nobody knows; to be tried again under the same number.
            BatchRefused: it was not kept, and never will be.
        """
        try:
            return await self._database.write(_count, (self._database.run_id, batch, self._targets))
        except StoreFailed as failed:
            if failed.__cause__ is not None and verdict_on(failed.__cause__) is Verdict.REFUSED:
                raise BatchRefused from failed
            raise


@row_by_row(LockGroup.ERRORS)
def _count(connection: Connection, parameters: tuple[str, FaultBatch, Targets]) -> list[Turn]:
    run_id, batch, targets = parameters
    is_new = connection.execute(
        update(replicas)
        .where(replicas.c.run_id == run_id, replicas.c.fault_batch < batch.number)
        .values(fault_batch=batch.number)
    ).rowcount
    return count_tallies(connection, run_id, batch, targets) if is_new else []


def count_tallies(connection: Connection, run_id: str, batch: FaultBatch, targets: Targets) -> list[Turn]:
    """Count what is in a batch, and write down what is to be told; its transaction holds the lock of all groups."""
    turns: list[Turn] = []
    for tally in batch.tallies:
        turns += _count_one(connection, run_id, tally, batch, targets)
    if batch.late_calls:
        _mark_counted(connection, batch.late_calls)
    return turns


def _count_one(
    connection: Connection, run_id: str, tally: GroupTally, batch: FaultBatch, targets: Targets
) -> list[Turn]:
    turns: list[Turn] = []
    group = _group_of(connection, tally)
    is_first = group is None
    if group is None:
        group = _open_group(connection, tally)
        turns.append(
            add_turn(connection, group, at=tally.first_seen, kind="first_seen", states=(None, "open"))
        )
    new_releases = _note_releases(connection, tally)
    seen, handled, lost = tally.sums
    weighed = _weighed(connection, group, tally, batch.now, whole=targets.want("error.escalating"))
    change = None if is_first else batch.weigh(group, weighed)
    stored = _store(
        connection, run_id, group, tally, keeps=is_first or bool(new_releases) or change is not None
    )
    _add_counts(connection, group, tally, (seen, handled, stored, lost))
    if tally.call_ids:
        _mark_counted(connection, tally.call_ids)
    if change is not None and (turn := change_state(connection, group, change, at=batch.now)) is not None:
        turns.append(turn)
    announce_group(
        connection, targets, group, tally, change, escalates=batch.escalates(weighed), at=batch.now
    )
    return turns


def _group_of(connection: Connection, tally: GroupTally) -> GroupRow | None:
    row = connection.execute(
        _GROUP_OF, {"of_project": tally.project_id, "of_rule": tally.rule, "of_hash": tally.hash}
    ).first()
    return None if row is None else GroupRow(**row._mapping)  # noqa: SLF001 - SQLAlchemy's own name


def _open_group(connection: Connection, tally: GroupTally) -> GroupRow:
    release = next(iter(tally.counts))[1]
    group = GroupRow(
        group_id=f"grp_{secrets.token_hex(8)}",
        number=(connection.scalar(select(func.max(error_groups.c.number))) or 0) + 1,
        project_id=tally.project_id,
        title=tally.title,
        kind=tally.kind,
        culprit=tally.culprit,
        code=tally.code,
        fixable_by=tally.fixable_by,
        own_doing=int(tally.own_doing),
        state="open",
        version=1,
        seen=0,
        handled=0,
        stored=0,
        lost=0,
        callers=0,
        first_seen=tally.first_seen,
        last_seen=tally.last_seen,
        first_release=release,
        last_release=release,
        resolved_at=None,
        resolved_in=None,
        archived_until=None,
        archived_count=None,
        archived_rate=None,
    )
    connection.execute(insert(error_groups).values(msgspec.structs.asdict(group)))
    _know_by(connection, group, tally)
    return group


def _know_by(connection: Connection, group: GroupRow, tally: GroupTally) -> None:
    """Have a group gather what has a fingerprint."""
    connection.execute(
        insert(error_fingerprints).values(
            project_id=tally.project_id,
            rule=tally.rule,
            hash=tally.hash,
            group_id=group.group_id,
            why=tally.why,
            seen=0,
            handled=0,
            stored=0,
            lost=0,
        )
    )


def _note_releases(connection: Connection, tally: GroupTally) -> list[str]:
    """Note releases of the project that were never seen; return them."""
    named = [release for release in dict.fromkeys(release for _, release in tally.counts) if release]
    new = []
    for release in named:
        highest = select(func.max(releases.c.ordinal)).where(releases.c.project_id == tally.project_id)
        row = {
            "project_id": tally.project_id,
            "release": release,
            "ordinal": (connection.scalar(highest) or 0) + 1,
            "first_seen": tally.first_seen,
            "commit": release.partition("+")[2] or None,
        }
        if _RELEASE.execute(connection, row).rowcount:
            new.append(release)
    return new


def _weighed(
    connection: Connection, group: GroupRow, tally: GroupTally, now: datetime, *, whole: bool
) -> Weighed:
    """Gather what the state of a group may change by; of an open one nothing is needed, unless `whole`."""
    if group.state == "open" and not whole:
        return Weighed(tally.latest, tally.sums[0], (), 0, 0, 0, now)
    known = connection.execute(
        select(releases.c.release, releases.c.ordinal, releases.c.first_seen)
        .where(releases.c.project_id == group.project_id)
        .order_by(releases.c.ordinal)
    )
    hour = hour_of(now)
    counted = _seen_between(connection, group.group_id, hour, now)
    came = sum(seen for (at, _), (seen, _, _) in tally.counts.items() if at == hour)
    before = _seen_between(connection, group.group_id, hour - WEEK, hour - timedelta(seconds=1))
    return Weighed(
        tally.latest,
        tally.sums[0],
        tuple(ReleaseRow(*row) for row in known),
        counted,
        counted + came,
        before,
        now,
    )


def _seen_between(connection: Connection, group_id: str, since: datetime, until: datetime) -> int:
    row = error_counts.c
    query = select(func.sum(row.seen)).where(row.group_id == group_id, row.hour.between(since, until))
    return connection.scalar(query) or 0


def _store(connection: Connection, run_id: str, group: GroupRow, tally: GroupTally, *, keeps: bool) -> int:
    """Keep some of the occurrences whole; return how many."""
    rows = []
    for index, occurrence in enumerate(tally.occurrences):
        exponent = exponent_of(group.seen + occurrence.ordinal)
        keep = keeps and index == 0
        if keep or occurrence.share < 2.0**-exponent:
            rows.append(_row_of(occurrence, run_id, group.group_id, tally.hash, exponent, keep=keep))
    for row in rows:
        _OCCURRENCE.execute(connection, row)
    return len(rows)


def exponent_of(before: int) -> int:
    """Return the exponent of the share of which the next occurrence is kept after `before` others."""
    return 0 if before < KEPT_WHOLE else math.floor(math.log2((before + 1) / KEPT_WHOLE))


def _row_of(
    occurrence: NewOccurrence, run_id: str, group_id: str, hash_: str, exponent: int, *, keep: bool
) -> dict[str, Any]:
    row = msgspec.structs.asdict(occurrence)
    del row["ordinal"], row["share"]
    return row | {
        "run_id": run_id,
        "group_id": group_id,
        "hash": hash_,
        "keep": int(keep),
        "noise": float(exponent),
    }


def _add_counts(
    connection: Connection, group: GroupRow, tally: GroupTally, sums: tuple[int, int, int, int]
) -> None:
    rows = [
        {
            "group_id": group.group_id,
            "hour": hour,
            "hash": tally.hash,
            "release": release,
            "seen": seen,
            "handled": handled,
            "lost": lost,
        }
        for (hour, release), (seen, handled, lost) in tally.counts.items()
    ]
    _HOURS.execute(connection, rows)
    added = dict(zip(_ADDED.values(), sums, strict=True))
    of_tally = {"of_project": tally.project_id, "of_rule": tally.rule, "of_hash": tally.hash}
    connection.execute(_SEEN_FINGERPRINT, {**of_tally, **added})
    last_release = group.last_release
    if tally.last_seen >= group.last_seen:
        last_release = list(tally.counts)[-1][1]
    connection.execute(
        _SEEN_GROUP,
        {
            **added,
            "of_group": group.group_id,
            "new_callers": _new_callers(connection, group, tally.subjects),
            "still_own_doing": int(tally.own_doing),
            "to_last_seen": max(tally.last_seen, group.last_seen),
            "to_last_release": last_release,
            "to_first_seen": min(tally.first_seen, group.first_seen),
        },
    )


def _new_callers(connection: Connection, group: GroupRow, subjects: Iterable[str]) -> int:
    room = MOST_CALLERS - group.callers
    new = 0
    for subject in sorted(subjects):
        if new < room:
            row = {"group_id": group.group_id, "subject": subject}
            new += _CALLER.execute(connection, row).rowcount
    return new


def _mark_counted(connection: Connection, call_ids: Sequence[str]) -> None:
    connection.execute(_COUNTED, [{"of_call": call_id} for call_id in call_ids])


def hour_of(moment: datetime) -> datetime:
    """Return the hour that a moment is in."""
    return moment.replace(minute=0, second=0, microsecond=0)


_known, _row = error_fingerprints.c, error_groups.c
_OF_FINGERPRINT = (
    _known.project_id == bindparam("of_project"),
    _known.rule == bindparam("of_rule"),
    _known.hash == bindparam("of_hash"),
)
_ADDED = {name: f"more_{name}" for name in ("seen", "handled", "stored", "lost")}
# Made once: a storm runs them for each of its faults, and making one costs more than running it.
_GROUP_OF = (
    select(*(_row[name] for name in GroupRow.__struct_fields__))
    .join(error_fingerprints, _known.group_id == _row.group_id)
    .where(*_OF_FINGERPRINT)
)
_SEEN_FINGERPRINT = (
    update(error_fingerprints)
    .where(*_OF_FINGERPRINT)
    .values({name: _known[name] + bindparam(more) for name, more in _ADDED.items()})
)
_SEEN_GROUP = (
    update(error_groups)
    .where(_row.group_id == bindparam("of_group"))
    .values(
        {name: _row[name] + bindparam(more) for name, more in _ADDED.items()}
        | {
            "callers": _row.callers + bindparam("new_callers"),
            "own_doing": _row.own_doing * bindparam("still_own_doing"),
            "last_seen": bindparam("to_last_seen"),
            "last_release": bindparam("to_last_release"),
            "first_seen": bindparam("to_first_seen"),
        }
    )
)
_HOURS = add_up(error_counts, ("seen", "handled", "lost"))
_CALLER = insert_if_absent(error_callers)
_RELEASE = insert_if_absent(releases)
_OCCURRENCE = insert_if_absent(error_occurrences)
_COUNTED = update(calls).where(calls.c.call_id == bindparam("of_call")).values(error_counted=1)
