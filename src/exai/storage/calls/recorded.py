"""One call of the journal, whole: how it ended, what it asked of providers, and what its tool reported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, select

from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.storage.error_tracking.schema import call_spans
from exai.storage.schema import TIMINGS, calls, exchanges, requests

__all__ = ["RecordedCall", "RecordedCalls"]

RECENT = timedelta(days=1)
"""How far back the latest call is looked for."""


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A row of the journal with those of its requests."""

    facts: Mapping[str, Any]
    """By the names of the columns of `calls`, without its timings and its report."""
    timings: Mapping[str, float]
    """Milliseconds by stage, of those that occurred."""
    report: Mapping[str, Any] | None
    requests: tuple[Mapping[str, Any], ...]
    """By the names of the columns of `requests`, in the order in which they began."""
    spans: tuple[Any, ...] | None
    """In which order it spent its time: request, stage, began and ended in milliseconds since the call began, attempt,
    model. `None`: that was not kept of it."""

    @property
    def call_id(self) -> str:
        return str(self.facts["call_id"])

    @property
    def owner(self) -> str:
        return str(self.facts["owner"])

    @property
    def began_at(self) -> datetime:
        began_at: datetime = self.facts["began_at"]
        return began_at

    @property
    def whole(self) -> dict[str, Any]:
        """Everything that is recorded, as it can be sent."""
        return {
            **{name: _plain(value) for name, value in self.facts.items()},
            "timings": dict(self.timings),
            "report": self.report,
            "requests": [{name: _plain(value) for name, value in each.items()} for each in self.requests],
            "spans": self.spans,
        }

    @property
    def has_ended(self) -> bool:
        return self.facts["outcome"] is not None


class RecordedCalls:
    """Finds calls; `owner` bounds each search to one subject's, `None` to nobody's."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def find(self, call_id: str, owner: str | None) -> RecordedCall | None:
        """Find a call by its id; `None` for an unknown one and for another owner's alike."""
        return await self._first(calls.c.call_id == call_id, owner)

    async def last_of_conversation(self, conversation_id: str, owner: str | None) -> RecordedCall | None:
        """Find the call that gave a conversation its latest answer."""
        latest = (
            select(exchanges.c.call_id)
            .where(exchanges.c.conversation_id == conversation_id)
            .order_by(exchanges.c.number.desc())
            .limit(1)
            .scalar_subquery()
        )
        return await self._first(calls.c.call_id == latest, owner)

    async def latest(self, owner: str) -> RecordedCall | None:
        """Find the owner's latest call of the last day."""
        return await self._first(calls.c.began_at >= self._clock.utc() - RECENT, owner)

    async def _first(self, condition: ColumnElement[bool], owner: str | None) -> RecordedCall | None:
        query = (
            select(calls).where(condition).order_by(calls.c.began_at.desc(), calls.c.call_id.desc()).limit(1)
        )
        if owner is not None:
            query = query.where(calls.c.owner == owner)

        def read(connection: Connection) -> RecordedCall | None:
            row = connection.execute(query).mappings().one_or_none()
            if row is None:
                return None
            asked = select(requests).where(requests.c.call_id == row["call_id"]).order_by(requests.c.number)
            spans = select(call_spans.c.spans).where(call_spans.c.call_id == row["call_id"])
            return _recorded(row, connection.execute(asked).mappings().all(), connection.scalar(spans))

        return await self._database.read(read)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _recorded(row: RowMapping, asked: Sequence[RowMapping], spans: str | None) -> RecordedCall:
    left_out = {*TIMINGS, "report"}
    return RecordedCall(
        facts={name: value for name, value in row.items() if name not in left_out},
        timings={name: row[name] for name in TIMINGS if row[name] is not None},
        report=None if row["report"] is None else msgspec.json.decode(row["report"]),
        requests=tuple(dict(each) for each in asked),
        spans=None if spans is None else tuple(msgspec.json.decode(spans)),
    )
