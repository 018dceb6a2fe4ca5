"""Reads ended calls page by page, as rollups and baselines need them: figures and names, no text."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from exai.storage.database import Database
from exai.storage.schema import TIMINGS, calls

__all__ = ["FILTERS", "PAGE", "JournalReader", "MeasuredCall", "Period"]

PAGE = 500
"""Calls that are read at a time, so that neither the loop nor the database is kept for long."""

FILTERS: Mapping[str, ColumnElement[Any]] = {
    "tool": calls.c.tool,
    "provider": calls.c.provider,
    "model": calls.c.model_used,
    "owner": calls.c.owner,
    "door": calls.c.door,
    "client": calls.c.client,
}
"""By what calls can be chosen."""


@dataclass(frozen=True, slots=True)
class MeasuredCall:
    """A call as it is measured."""

    call_id: str
    began_at: datetime
    tool: str
    provider: str
    """Empty: none was asked."""
    model: str
    """The one that was used, else the one that was asked for; empty: neither."""
    outcome: str
    error_code: str | None
    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost_usd: float
    without_price: int
    emulated: int
    timings: tuple[float | None, ...]
    """In the order of `schema.TIMINGS`."""

    @property
    def latency_ms(self) -> float | None:
        """How long it took."""
        return self.timings[-1]


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of the journal, and which of its calls."""

    began: datetime
    ended: datetime
    """Not in it any more."""
    chosen: tuple[tuple[str, str], ...] = ()
    """Names of `FILTERS`, and what they have to be."""


class JournalReader:
    """Reads the calls of a period."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def first(self) -> datetime | None:
        """Return when the oldest call began; `None` where there is none.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = select(calls.c.began_at).order_by(calls.c.began_at).limit(1)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else row[0]

    async def open_calls(self, period: Period) -> int:
        """Count the calls that have no end.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = select(func.count()).select_from(calls).where(*_of(period), calls.c.outcome.is_(None))
        return await self._database.read(lambda connection: connection.execute(query).scalar_one())

    async def pages(self, period: Period) -> AsyncIterator[Sequence[MeasuredCall]]:
        """Read the ended calls in the order in which they began.

        Raises:
            StoreFailed: the database is out of reach.
        """
        last: tuple[datetime, str] | None = None
        while True:
            query = _CALLS.where(*_of(period), calls.c.outcome.is_not(None))
            if last is not None:
                query = query.where(_after(*last))
            page = await self._database.read(partial(_read, query))
            if page:
                yield page
                last = page[-1].began_at, page[-1].call_id
            if len(page) < PAGE:
                return


def _read(query: Select[Any], connection: Connection) -> list[MeasuredCall]:
    return [_measured(*row) for row in connection.execute(query)]


def _measured(*values: Any) -> MeasuredCall:
    stages = len(TIMINGS)
    fields = [*values[:-stages], values[-stages:]]
    return MeasuredCall(*fields)


def _of(period: Period) -> list[ColumnElement[bool]]:
    chosen = [FILTERS[name] == value for name, value in period.chosen]
    return [calls.c.began_at >= period.began, calls.c.began_at < period.ended, *chosen]


def _after(began_at: datetime, call_id: str) -> ColumnElement[bool]:
    same = and_(calls.c.began_at == began_at, calls.c.call_id > call_id)
    return and_(calls.c.began_at >= began_at, or_(calls.c.began_at > began_at, same))


_CALLS = (
    select(
        calls.c.call_id,
        calls.c.began_at,
        calls.c.tool,
        func.coalesce(calls.c.provider, ""),
        func.coalesce(calls.c.model_used, calls.c.model_requested, ""),
        calls.c.outcome,
        calls.c.error_code,
        *(
            func.coalesce(calls.c[name], 0)
            for name in (
                "requests",
                "input_tokens",
                "cached_tokens",
                "output_tokens",
                "cost_usd",
                "without_price",
                "emulated",
            )
        ),
        *(calls.c[name] for name in TIMINGS),
    )
    .order_by(calls.c.began_at, calls.c.call_id)
    .limit(PAGE)
)
