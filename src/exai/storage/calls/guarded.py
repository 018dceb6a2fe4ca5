"""Rows of guarded calls: what each caller's calls of the last hour have used, or may use while they run."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from exai.runtime.clock import Clock
from exai.storage.calls.schema import guarded_calls
from exai.storage.database import Database
from exai.storage.pruning import BATCH, in_batches
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["WINDOW", "Amounts", "GuardedCalls", "Refused", "Reservation"]

WINDOW = timedelta(hours=1)


class Amounts(msgspec.Struct, frozen=True):
    """What calls use of what is guarded; as limits, `None` for what is not."""

    calls: float | None = None
    usd: float | None = None
    model_s: float | None = None


class Reservation(msgspec.Struct, frozen=True):
    """A call that is to begin."""

    call_id: str
    owner: str
    at: datetime
    usd: float
    """What it may cost, as long as nobody knows."""
    model_s: float
    limits: Amounts


class Refused(msgspec.Struct, frozen=True):
    """Why a call may not begin."""

    limit: str
    """The field of `Amounts` that would be exceeded."""
    used: float
    """Within the hour, what running calls have reserved included."""
    free_at: datetime
    """When enough of it is an hour old."""


class GuardedCalls:
    """Reserves and settles; several processes may do so for one caller, and none of them exceeds a limit."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def reserve(self, wanted: Reservation) -> Refused | None:
        """Commit a call's reservation, or say why it may not begin.

        Raises:
            StoreFailed: it was not kept.
        """
        return await self._database.write(_reserve, wanted)

    def settle_soon(self, call_id: str, *, usd: float, model_s: float) -> None:
        """Queue what a call used in the place of what it had reserved; it outlives an outage of the database."""
        self._database.write_soon(_settle, (call_id, usd, model_s), durable=True)

    def release_soon(self, call_id: str) -> None:
        """Queue the end of the reservation of a call that asked no model."""
        self._database.write_soon(_release, call_id, durable=True)

    async def prune(self) -> int:
        """Delete what no guard looks at any more; return how much that was.

        Raises:
            StoreFailed: it is still there.
        """
        before = self._clock.utc() - WINDOW
        return await in_batches(lambda: self._database.write(_prune, before))


_row = guarded_calls.c
_OF_HOUR = (
    select(_row.began_at, _row.usd, _row.model_s)
    .where(_row.owner == bindparam("of_owner"), _row.began_at > bindparam("since"))
    .order_by(_row.began_at, _row.call_id)
)


@row_by_row(LockGroup.USE)
def _reserve(connection: Connection, wanted: Reservation) -> Refused | None:
    found = connection.execute(_OF_HOUR, {"of_owner": wanted.owner, "since": wanted.at - WINDOW}).all()
    began = [moment for moment, _, _ in found]
    limits = wanted.limits
    checks = (
        ("calls", [1.0] * len(found), 1.0, limits.calls),
        ("usd", [usd for _, usd, _ in found], wanted.usd, limits.usd),
        ("model_s", [seconds for _, _, seconds in found], wanted.model_s, limits.model_s),
    )
    refusals = [
        Refused(name, sum(used), free_at)
        for name, used, wants, limit in checks
        if limit is not None and (free_at := _free_at(began, used, wants, limit)) is not None
    ]
    if refusals:
        return max(refusals, key=lambda each: each.free_at)
    connection.execute(
        insert(guarded_calls).values(
            call_id=wanted.call_id,
            owner=wanted.owner,
            began_at=wanted.at,
            usd=wanted.usd,
            model_s=wanted.model_s,
        )
    )
    return None


def _free_at(began: Sequence[datetime], used: Sequence[float], wants: float, limit: float) -> datetime | None:
    """Return when a call that wants so much may begin; `None` for now. One that wants more than all gets all."""
    left = limit - min(wants, limit) - sum(used)
    if left >= -1e-9:
        return None
    for moment, amount in zip(began, used, strict=True):
        left += amount
        if left >= -1e-9:
            return moment + WINDOW
    return began[-1] + WINDOW


@row_by_row(LockGroup.USE)
def _settle(connection: Connection, settled: tuple[str, float, float]) -> None:
    call_id, usd, model_s = settled
    connection.execute(update(guarded_calls).where(_row.call_id == call_id).values(usd=usd, model_s=model_s))


@row_by_row(LockGroup.USE)
def _release(connection: Connection, call_id: str) -> None:
    connection.execute(delete(guarded_calls).where(_row.call_id == call_id))


@row_by_row(LockGroup.USE)
def _prune(connection: Connection, before: datetime) -> int:
    old = select(_row.call_id).where(_row.began_at < before).limit(BATCH)
    return connection.execute(delete(guarded_calls).where(_row.call_id.in_(old))).rowcount
