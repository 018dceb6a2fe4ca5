"""Deliveries of notices: which are sent, which become part of a digest, and what became of each.

=======  ==============================  ========  ====================================================================
from     on                              to        rule
=======  ==============================  ========  ====================================================================
         the change that it tells        new       in the transaction of the change
new      a look at what is new           due       its webhook was told less than 29 within the hour, and nothing of
                                                   this kind about the same
new      the same                        held      else
held     an hour after the first         digested  its digest, which is due at once, counts it
due      an attempt that is accepted     sent
due      the last attempt that is not    failed    8 attempts, or the receiver says that it is gone
due      an attempt without its webhook  dropped   the settings have it no more
=======  ==============================  ========  ====================================================================

So no webhook is told more than 30 within any hour, the digest counted. An attempt is taken before it is made, and the
next one is due at a moment that the row has: whoever works on it, in whichever process, it is tried 8 times at most.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.storage.notices.schema import deliveries
from exai.storage.notices.writing import new_delivery
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["DIGEST", "MOST_ATTEMPTS", "Attempt", "Deliveries", "Delivery", "DeliveryState"]

DIGEST = "digest"
HOUR = timedelta(hours=1)
SINGLE_PER_HOUR = 29
"""Notices that one webhook is told within an hour; a digest makes it 30."""
WAITS_S = (14.0, 56.0, 224.0, 896.0, 3_584.0, 14_336.0, 57_344.0)
"""From each attempt to the next one: 21 hours together."""
MOST_ATTEMPTS = len(WAITS_S) + 1
UNDER_WAY = timedelta(seconds=60)
"""Until the last attempt has ended, if its process lives."""
KEPT = timedelta(days=30)
AT_ONCE = 500
NAMED = 20
"""Notices that a digest names, the earliest."""

DeliveryState = Literal["new", "held", "due", "sent", "failed", "dropped", "digested"]


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A notice to one webhook, as its row has it."""

    delivery_id: str
    at: datetime
    kind: str
    about: str
    target: str
    body: str
    """JSON: `id`, `title` and `counts`; of a digest `among` too, the ids of some of what it counts."""
    state: DeliveryState
    attempts: int
    next_at: datetime | None
    ended_at: datetime | None
    failure: str | None


class Attempt(msgspec.Struct, frozen=True):
    """Whether a delivery may be tried now."""

    delivery: Delivery | None
    """What is to be sent; `None`: nothing now."""
    wait_s: float | None = None
    """Until it may be tried; `None`: it is over."""


class Deliveries:
    """Decides which notices are sent, and keeps what became of them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def pass_new(self) -> None:
        """Let through what an hour has room for, hold the rest back, and make digests that are due.

        Raises:
            StoreFailed: what is new still is.
        """
        while await self._database.read(lambda connection: _is_waiting(connection, self._clock.utc())):
            await self._database.write(_pass, self._clock.utc())

    async def due(self) -> Sequence[str]:
        """Return the ids of what is to be sent.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = select(_row.delivery_id).where(_row.state == "due").order_by(_row.at).limit(AT_ONCE)
        return await self._database.read(lambda connection: connection.scalars(query).all())

    async def take(self, delivery_id: str) -> Attempt:
        """Take the next attempt of a delivery, unless it is not due yet, or over.

        Raises:
            StoreFailed: it is not taken.
        """
        return await self._database.write(_take, (delivery_id, self._clock.utc()))

    async def end(
        self, delivery_id: str, state: Literal["sent", "failed", "dropped"], failure: str | None = None
    ) -> None:
        """Keep how a delivery ended.

        Raises:
            StoreFailed: it is as before, and is tried again.
        """
        await self._database.write(_end, (delivery_id, state, failure, self._clock.utc()))

    async def note_failure(self, delivery_id: str, failure: str) -> Attempt:
        """Keep why an attempt failed; return when the next one is due, if there is one.

        Raises:
            StoreFailed: the attempt is counted, without its reason.
        """
        return await self._database.write(_note_failure, (delivery_id, failure, self._clock.utc()))

    async def listing(self, *, state: DeliveryState | None = None, most: int = 100) -> Sequence[Delivery]:
        """List deliveries, the latest first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = _SELECT.order_by(_row.at.desc(), _row.delivery_id).limit(most)
        if state is not None:
            query = query.where(_row.state == state)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [_delivery(row) for row in rows]

    async def last_failure(self, target: str) -> str | None:
        """Return why a webhook did not accept the latest message that it did not; `None`: it accepted all.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = select(_row.failure).where(_row.target == target, _row.failure.is_not(None))
        query = query.order_by(_row.passed_at.desc()).limit(1)
        return await self._database.read(lambda connection: connection.scalar(query))

    async def counts(self) -> dict[tuple[str, str], int]:
        """Count deliveries by target and state.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = select(_row.target, _row.state, func.count()).group_by(_row.target, _row.state)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {(target, state): number for target, state, number in rows}

    async def prune(self) -> int:
        """Delete what was over for long; return how much that was.

        Raises:
            StoreFailed: it is still there.
        """
        return await self._database.write(_prune, self._clock.utc() - KEPT)


_row = deliveries.c
_FIELDS = Delivery.__struct_fields__
_SELECT = select(*(_row[name] for name in _FIELDS))


def _delivery(row: Sequence[Any]) -> Delivery:
    return Delivery(**dict(zip(_FIELDS, row, strict=True)))


def _is_waiting(connection: Connection, now: datetime) -> bool:
    waits = or_(_row.state == "new", and_(_row.state == "held", _row.at <= now - HOUR))
    return connection.execute(select(_row.delivery_id).where(waits).limit(1)).first() is not None


@row_by_row(LockGroup.DELIVERIES)
def _pass(connection: Connection, now: datetime) -> None:
    query = _SELECT.where(_row.state == "new").order_by(_row.at, _row.delivery_id).limit(AT_ONCE)
    told: dict[str, list[tuple[str, str]]] = {}
    passed, held = [], []
    for delivery in map(_delivery, connection.execute(query).all()):
        of_hour = told.setdefault(delivery.target, _told(connection, delivery.target, now))
        about = (delivery.kind, delivery.about)
        if len(of_hour) < SINGLE_PER_HOUR and about not in of_hour:
            of_hour.append(about)
            passed.append(delivery.delivery_id)
        else:
            held.append(delivery.delivery_id)
    _put(connection, passed, {"state": "due", "passed_at": now, "next_at": now})
    _put(connection, held, {"state": "held"})
    late = select(_row.target).where(_row.state == "held", _row.at <= now - HOUR).distinct()
    for target in connection.scalars(late).all():
        _make_digest(connection, target, now)


def _told(connection: Connection, target: str, now: datetime) -> list[tuple[str, str]]:
    """Return the kinds and subjects that a webhook was told within the hour."""
    query = select(_row.kind, _row.about).where(
        _row.target == target, _row.passed_at > now - HOUR, _row.kind != DIGEST
    )
    return [(kind, about) for kind, about in connection.execute(query)]


def _make_digest(connection: Connection, target: str, now: datetime) -> None:
    """Count what is held back for a webhook in one delivery, in the place of all of it."""
    of_target = and_(_row.target == target, _row.state == "held")
    numbers = connection.execute(
        select(_row.kind, func.count()).where(of_target).group_by(_row.kind).order_by(_row.kind)
    ).all()
    counts = {kind: int(number) for kind, number in numbers}
    bodies = connection.scalars(select(_row.body).where(of_target).order_by(_row.at).limit(NAMED))
    ids = dict.fromkeys(msgspec.json.decode(body)["id"] for body in bodies)
    title = f"{sum(counts.values())} more notices, which the hour had no room for or had already"
    digest = new_delivery(
        now, DIGEST, "", target, {"id": "", "title": title, "counts": counts, "among": list(ids)}
    )
    connection.execute(insert(deliveries).values(digest | {"state": "due", "passed_at": now, "next_at": now}))
    connection.execute(
        update(deliveries)
        .where(of_target)
        .values(state="digested", digest_id=digest["delivery_id"], ended_at=now)
    )


@row_by_row(LockGroup.DELIVERIES)
def _take(connection: Connection, taken: tuple[str, datetime]) -> Attempt:
    delivery_id, now = taken
    row = connection.execute(_SELECT.where(_row.delivery_id == delivery_id)).first()
    if row is None or (delivery := _delivery(row)).state != "due":
        return Attempt(None)
    if delivery.next_at is not None and delivery.next_at > now:
        return Attempt(None, (delivery.next_at - now).total_seconds())
    if delivery.attempts >= MOST_ATTEMPTS:
        _put(connection, [delivery_id], {"state": "failed", "ended_at": now})
        return Attempt(None)
    number = delivery.attempts + 1
    wait = timedelta(seconds=WAITS_S[number - 1]) if number < MOST_ATTEMPTS else UNDER_WAY
    _put(connection, [delivery_id], {"attempts": number, "next_at": now + wait})
    return Attempt(msgspec.structs.replace(delivery, attempts=number))


@row_by_row(LockGroup.DELIVERIES)
def _note_failure(connection: Connection, noted: tuple[str, str, datetime]) -> Attempt:
    delivery_id, failure, now = noted
    delivery = _delivery(connection.execute(_SELECT.where(_row.delivery_id == delivery_id)).one())
    if delivery.attempts >= MOST_ATTEMPTS:
        _put(connection, [delivery_id], {"state": "failed", "failure": failure, "ended_at": now})
        return Attempt(None)
    _put(connection, [delivery_id], {"failure": failure})
    return Attempt(None, max(0.0, ((delivery.next_at or now) - now).total_seconds()))


@row_by_row(LockGroup.DELIVERIES)
def _end(connection: Connection, ended: tuple[str, str, str | None, datetime]) -> None:
    delivery_id, state, failure, now = ended
    statement = update(deliveries).where(_row.delivery_id == delivery_id, _row.state == "due")
    connection.execute(statement.values(state=state, failure=failure, ended_at=now))


@row_by_row(LockGroup.DELIVERIES, frees_space=True)
def _prune(connection: Connection, before: datetime) -> int:
    return connection.execute(delete(deliveries).where(_row.ended_at < before)).rowcount


def _put(connection: Connection, ids: Sequence[str], values: dict[str, object]) -> None:
    if ids:
        connection.execute(update(deliveries).where(_row.delivery_id.in_(ids)).values(values))
