"""Who used what, added up from the journal: it knows every call that asked a provider, and no text."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, Integer, and_, case, cast, func, or_, select

from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.storage.schema import calls

__all__ = ["MOST_ROWS", "Usage", "UsageReports"]

MOST_ROWS = 1_000
"""Of one report; the most expensive come first."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one caller used of one model within a period."""

    caller: str
    provider: str | None
    """`None`: the calls ended before a model was chosen."""
    model: str | None
    calls: int
    unanswered: int
    """Of these, the ones that ended in anything but an answer."""
    requests: int
    """Sent to providers, retries included."""
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_usd: float
    """By list price, of the calls whose price is known."""
    without_price: int
    """Calls that used tokens and whose price is unknown, so not in the sum."""


class UsageReports:
    """Reads usage from the journal."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def report(self, *, days: float, caller: str | None) -> Sequence[Usage]:
        """Sum usage by caller and model, the most expensive first; of one caller, where one is named.

        Raises:
            StoreFailed: the database is out of reach.
        """
        since = self._clock.utc() - timedelta(days=days)
        query = _REPORT.where(calls.c.began_at >= since)
        if caller is not None:
            query = query.where(calls.c.owner == caller)
        return await self._database.read(
            lambda connection: [Usage(*row) for row in connection.execute(query)]
        )


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return cast(func.coalesce(func.sum(case((condition, 1), else_=0)), 0), Integer)


_tokens = (calls.c.input_tokens, calls.c.cached_tokens, calls.c.output_tokens, calls.c.reasoning_tokens)
_cost = func.coalesce(func.sum(calls.c.cost_usd), 0.0)
_REPORT = (
    select(
        calls.c.owner,
        calls.c.provider,
        calls.c.model_used,
        func.count(),
        _count(and_(calls.c.outcome.is_not(None), calls.c.outcome != "ok")),
        func.coalesce(func.sum(calls.c.requests), 0),
        *(func.coalesce(func.sum(column), 0) for column in _tokens),
        _cost,
        _count(
            and_(
                calls.c.cost_usd.is_(None),
                or_(calls.c.input_tokens.is_not(None), calls.c.output_tokens.is_not(None)),
            )
        ),
    )
    .group_by(calls.c.owner, calls.c.provider, calls.c.model_used)
    .order_by(_cost.desc(), func.count().desc(), calls.c.owner, calls.c.provider, calls.c.model_used)
    .limit(MOST_ROWS)
)
