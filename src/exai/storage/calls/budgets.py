"""Rows of budgets: one for each request to a provider that a purse has granted.

A purse has limits, each for a window that slides. A grant is one statement: it inserts its row if no limit is exceeded
by it, and nothing otherwise. Grants of a purse are in the order of their moments, whatever the clocks of the processes
say: one whose clock is behind is granted at the moment of the grant before. So a window that ends with a grant holds
all grants of any window around it, and what holds there holds for any window.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.sql.selectable import CTE

from exai.runtime.clock import Clock
from exai.storage.calls.schema import budget_grants
from exai.storage.database import Database
from exai.storage.notices.writing import NOBODY, Notice, Targets, add_notice, was_announced
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["KEEP_S", "BudgetGrants", "Limit", "Refusal", "Spent", "Wanted"]

KEEP_S = 8 * 86_400.0
"""How long grants are kept, and how far ahead of the clock a grant may be: one of a clock that was wrong is deleted."""

HOUR = timedelta(hours=1)

_EXACT = 1e-9
"""Sums of dollars are compared up to this."""


class Limit(msgspec.Struct, frozen=True):
    """What may be granted within any window of this length."""

    window_s: float
    requests: int | None = None
    """`None`: as many as there are."""
    usd: float | None = None
    """`None`: whatever they cost. Of a grant that is not settled, what it reserved."""


class Wanted(msgspec.Struct, frozen=True):
    """A request that is to be sent."""

    purse: str
    call_id: str
    usd: float
    """What it may cost, as long as nobody knows."""
    limits: tuple[Limit, ...]


class Refusal(msgspec.Struct, frozen=True):
    """Why a request may not be sent."""

    limit: Limit
    wait_s: float | None
    """Until enough of it has left the window; `None`: it never fits."""


class Spent(msgspec.Struct, frozen=True):
    """What a purse has granted within a window that ends now."""

    requests: int
    usd: float


class BudgetGrants:
    """Grants, settles and tells; several processes may do so for one purse, and none of them exceeds a limit."""

    def __init__(self, database: Database, clock: Clock, targets: Targets = NOBODY) -> None:
        self._database = database
        self._clock = clock
        self._targets = targets

    async def grant(self, wanted: Wanted) -> Refusal | None:
        """Commit the grant of one request, or say why it may not be sent.

        Raises:
            StoreFailed: nobody knows whether it was granted, so it may not be sent.
        """
        return await self._database.write(_grant, (wanted, self._clock.wall(), self._targets))

    def settle_soon(self, call_id: str, usd: float) -> None:
        """Queue what the requests of a call cost together, in the place of what they had reserved."""
        self._database.write_soon(_settle, (call_id, usd), durable=True)

    async def spent(self, purse: str, window_s: float) -> Spent:
        """Return what was granted lately.

        Raises:
            StoreFailed: the database is out of reach.
        """
        now = self._clock.wall()
        return await self._database.read(lambda connection: _spent(connection, purse, now - window_s))

    async def prune(self) -> int:
        """Delete what no window reaches; return how much that was.

        Raises:
            StoreFailed: it is still there.
        """
        return await self._database.write(_prune, self._clock.wall())


_row = budget_grants.c
_CHARGED = func.coalesce(_row.settled_usd, _row.reserved_usd)


@row_by_row(LockGroup.USE)
def _grant(connection: Connection, asked: tuple[Wanted, float, Targets]) -> Refusal | None:
    wanted, now, targets = asked
    own = select(
        (func.coalesce(func.max(_row.seq), 0) + 1).label("seq"),
        case((func.max(_row.at) > now, func.max(_row.at)), else_=literal(now, Float(53))).label("at"),
    ).where(_row.purse == wanted.purse)
    new = own.cte("new")
    granted = select(
        literal(wanted.purse), new.c.seq, new.c.at, literal(wanted.usd, Float(53)), literal(wanted.call_id)
    ).where(*(condition for limit in wanted.limits for condition in _room(wanted, limit, new)))
    columns = ["purse", "seq", "at", "reserved_usd", "call_id"]
    statement = insert(budget_grants).from_select(columns, granted).returning(_row.seq)
    if connection.execute(statement).first() is not None:
        return None
    refusal = max(
        (refusal for limit in wanted.limits if (refusal := _refusal(connection, wanted, limit, now))),
        key=lambda refusal: float("inf") if refusal.wait_s is None else refusal.wait_s,
    )
    if refusal.limit.requests != 0:
        _announce_refusal(connection, targets, wanted, refusal, datetime.fromtimestamp(now, UTC))
    return refusal


def _announce_refusal(
    connection: Connection, targets: Targets, wanted: Wanted, refusal: Refusal, at: datetime
) -> None:
    """Write down that a purse is spent; refusals of the next hour are part of that."""
    if not targets.want("budget.spent") or was_announced(connection, "budget.spent", wanted.purse, at - HOUR):
        return
    limit = refusal.limit
    counts = {"hours": limit.window_s / 3_600}
    if limit.requests is not None:
        counts["requests"] = limit.requests
    if limit.usd is not None:
        counts["usd"] = limit.usd
    title = f"The budget of {wanted.purse} is spent"
    add_notice(connection, targets, Notice("budget.spent", wanted.purse, title, counts), at)


def _room(wanted: Wanted, limit: Limit, new: CTE) -> list[ColumnElement[bool]]:
    """Return what must hold for a new grant, of the window that ends with it."""
    within = (_row.purse == wanted.purse, _row.at > new.c.at - limit.window_s)
    conditions = []
    if limit.requests is not None:
        requests = select(func.count()).select_from(budget_grants).where(*within).scalar_subquery()
        conditions.append(requests < limit.requests)
    if limit.usd is not None:
        charged = select(func.coalesce(func.sum(_CHARGED), 0.0)).where(*within).scalar_subquery()
        conditions.append(charged + wanted.usd <= limit.usd + _EXACT)
    return conditions


def _refusal(connection: Connection, wanted: Wanted, limit: Limit, now: float) -> Refusal | None:
    """Return when a limit that leaves no room now will; `None` for one that does."""
    latest = connection.execute(select(func.max(_row.at)).where(_row.purse == wanted.purse)).scalar_one()
    end = now if latest is None else max(now, latest)
    rows = connection.execute(
        select(_row.at, _CHARGED)
        .where(_row.purse == wanted.purse, _row.at > end - limit.window_s)
        .order_by(_row.at)
    ).all()
    left = len(rows)
    charged = sum(usd for _, usd in rows)
    if _fits(limit, left, charged, wanted.usd):
        return None
    for at, usd in rows:
        left, charged = left - 1, charged - usd
        if _fits(limit, left, charged, wanted.usd):
            return Refusal(limit, at + limit.window_s - now)
    return Refusal(limit, None)


def _fits(limit: Limit, requests: int, charged: float, usd: float) -> bool:
    return (limit.requests is None or requests < limit.requests) and (
        limit.usd is None or charged + usd <= limit.usd + _EXACT
    )


@row_by_row(LockGroup.USE)
def _settle(connection: Connection, settled: tuple[str, float]) -> None:
    call_id, usd = settled
    of_call: Sequence[tuple[str, int]] = [
        (purse, seq)
        for purse, seq in connection.execute(
            select(_row.purse, _row.seq).where(_row.call_id == call_id).order_by(_row.purse, _row.seq)
        )
    ]
    if of_call:
        statement = update(budget_grants).where(_row.call_id == call_id)
        connection.execute(statement.values(settled_usd=usd / len(of_call)))


def _spent(connection: Connection, purse: str, since: float) -> Spent:
    requests, usd = connection.execute(
        select(func.count(), func.coalesce(func.sum(_CHARGED), 0.0)).where(
            _row.purse == purse, _row.at > since
        )
    ).one()
    return Spent(requests, usd)


@row_by_row(LockGroup.USE)
def _prune(connection: Connection, now: float) -> int:
    outside = or_(_row.at < now - KEEP_S, _row.at > now + KEEP_S)
    return connection.execute(delete(budget_grants).where(outside)).rowcount
