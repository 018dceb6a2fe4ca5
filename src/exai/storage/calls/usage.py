"""Who used what, added up from the journal's requests: it has every call that asked a provider, and no text."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, case, func, literal_column, or_, select

from exai.events.requests import Purpose
from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.storage.schema import calls, requests

__all__ = ["MOST_ROWS", "Usage", "UsageReports"]

MOST_ROWS = 1_000
"""Of one report; the most expensive come first."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one caller used of one model within a period."""

    caller: str
    provider: str | None
    """`None`: the calls ended before anything was asked of a provider."""
    model: str | None
    calls: int
    """Those that asked this model; one that asked several counts for each."""
    unanswered: int
    """Of these, the ones in which the model did not answer."""
    requests: int
    """Sent to providers, retries included."""
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    unreported: int
    """Of the requests sent, those that a provider may charge for without having told their usage."""
    cost_usd: float
    """By list price, of everything whose price is known."""
    without_price: int
    """Requests of which a part has no known price, or was not told, so that the sum lacks it."""
    emulated: bool
    """Whether a demonstration's emulator answered, so that nothing of the cost was charged."""


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


def _count_calls(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((condition, calls.c.call_id)).distinct())


_nothing_asked = requests.c.call_id.is_(None)
_unanswered = or_(
    and_(_nothing_asked, calls.c.outcome.is_not(None), calls.c.outcome != "ok"),
    and_(requests.c.outcome != "ok", requests.c.purpose != Purpose.COUNT.value),
)
_used = (
    requests.c.input_tokens,
    requests.c.cached_tokens,
    requests.c.cache_write_tokens,
    requests.c.output_tokens,
    requests.c.reasoning_tokens,
    requests.c.unreported,
)
_calls = func.count(calls.c.call_id.distinct())
_cost = func.coalesce(func.sum(requests.c.cost_usd), 0.0)
_key = (calls.c.owner, requests.c.provider, requests.c.model)
_emulated = requests.c.emulated.is_not_distinct_from(literal_column("1"))
"""In literals: PostgreSQL takes what has parameters for two expressions."""
_REPORT = (
    select(
        *_key,
        _calls,
        _count_calls(_unanswered),
        func.coalesce(func.sum(requests.c.attempts), 0),
        *(func.coalesce(func.sum(column), 0) for column in _used),
        _cost,
        func.coalesce(func.sum(requests.c.without_price), 0),
        _emulated,
    )
    .select_from(calls.outerjoin(requests))
    .group_by(*_key, _emulated)
    .order_by(_cost.desc(), _calls.desc(), *_key, _emulated)
    .limit(MOST_ROWS)
)
