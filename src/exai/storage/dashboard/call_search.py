"""Finds calls of the journal by conditions that are combined, the latest first, however rare what is sought is.

A search walks back through the journal in slices of an index and stops when its page is full, its range is over, or its
time is up; then it says how far it has looked, and the next page goes on from there. Callers, error codes and
conversations that are named exactly have indexes, so their slices hold nothing else.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, false, func, not_, or_, select

from exai.storage.database import Database
from exai.storage.error_tracking.schema import error_fingerprints, error_groups
from exai.storage.schema import calls

__all__ = [
    "CallPage",
    "CallQuery",
    "CallSearch",
    "Condition",
    "Field",
    "Place",
    "as_call",
    "groups_of",
]

SLICE = 5_000
"""Calls that are looked at in a row."""
ENOUGH_S = 0.2
"""After so long a page is returned as it is."""
OWN_PROJECT = 1

Field = Literal[
    "tool",
    "outcome",
    "model",
    "provider",
    "caller",
    "client",
    "door",
    "error",
    "conversation",
    "token",
    "took",
    "first",
    "cost",
    "tokens",
    "requests",
    "emulated",
    "word",
]

_TEXTS: Mapping[str, tuple[ColumnElement[Any], ...]] = {
    "tool": (calls.c.tool,),
    "outcome": (calls.c.outcome,),
    "model": (calls.c.model_used, calls.c.model_requested),
    "provider": (calls.c.provider,),
    "caller": (calls.c.owner,),
    "client": (calls.c.client,),
    "door": (calls.c.door,),
    "error": (calls.c.error_code,),
    "conversation": (calls.c.conversation_id,),
    "token": (calls.c.token,),
    "word": (calls.c.tool, calls.c.model_used, calls.c.owner, calls.c.error_code, calls.c.outcome),
}
_NUMBERS: Mapping[str, ColumnElement[Any]] = {
    "took": calls.c.latency_ms,
    "first": calls.c.first_token_ms,
    "cost": calls.c.cost_usd,
    "tokens": func.coalesce(calls.c.input_tokens, 0) + func.coalesce(calls.c.output_tokens, 0),
    "requests": calls.c.requests,
    "emulated": func.coalesce(calls.c.emulated, 0),
}
_INDEXED = frozenset({"caller", "error", "conversation"})
RUNNING = "running"
"""How people name the outcome of a call that has none yet."""

Place = tuple[datetime, str]
"""Of a call: when it began, and its id."""


class Condition(msgspec.Struct, frozen=True):
    """What a call has to be; several have to hold together."""

    field: Field
    op: Literal["is", "<", "<=", ">", ">="] = "is"
    values: tuple[str, ...] = ()
    """Of a text: any of these, in which `*` stands for anything."""
    number: float = 0.0
    negated: bool = False


class CallQuery(msgspec.Struct, frozen=True):
    """A search."""

    conditions: tuple[Condition, ...]
    since: datetime
    until: datetime


class CallPage(msgspec.Struct, frozen=True):
    """Calls that were found, the latest first."""

    calls: list[dict[str, Any]]
    next: Place | None
    """Behind which the search goes on; `None`: it is over."""
    searched_to: datetime
    """How far back it has looked."""


class CallSearch:
    """Runs searches."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, query: CallQuery, after: Place | None, most: int) -> CallPage:
        """Find the next calls.

        Raises:
            QueryTooSlow: not even a slice could be read in time.
            StoreFailed: the database is out of reach.
        """
        return await self._database.view(lambda connection: _page(connection, query, after, most))


_COLUMNS = (
    "call_id",
    "began_at",
    "tool",
    "owner",
    "token",
    "door",
    "client",
    "model_requested",
    "model_used",
    "provider",
    "model_reason",
    "outcome",
    "error_code",
    "error_hash",
    "requests",
    "conversation_id",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_usd",
    "without_price",
    "emulated",
    "latency_ms",
    "first_token_ms",
)
_SELECT = select(*(calls.c[name] for name in _COLUMNS))
_LATEST_FIRST = (calls.c.began_at.desc(), calls.c.call_id.desc())


def _page(connection: Connection, query: CallQuery, after: Place | None, most: int) -> CallPage:
    end = time.monotonic() + ENOUGH_S
    indexed = [_holds(each) for each in query.conditions if _is_indexed(each)]
    others = [_holds(each) for each in query.conditions if not _is_indexed(each)]
    found: list[Mapping[str, Any]] = []
    while True:
        last = connection.execute(
            select(calls.c.began_at, calls.c.call_id)
            .where(*indexed, _between(query, after, None))
            .order_by(*_LATEST_FIRST)
            .offset(SLICE - 1)
            .limit(1)
        ).first()
        to = None if last is None else (last[0], last[1])
        wanted = most - len(found)
        rows = connection.execute(
            _SELECT.where(*indexed, *others, _between(query, after, to))
            .order_by(*_LATEST_FIRST)
            .limit(wanted + 1)
        ).mappings()
        found.extend(dict(row) for row in rows)
        if len(found) > most:
            kept = found[:most]
            place = (kept[-1]["began_at"], kept[-1]["call_id"])
            return CallPage(_with_groups(connection, kept), place, place[0])
        if to is None:
            return CallPage(_with_groups(connection, found), None, query.since)
        after = to
        if time.monotonic() >= end or len(found) == most:
            return CallPage(_with_groups(connection, found), after, after[0])


def _between(query: CallQuery, after: Place | None, to: Place | None) -> ColumnElement[bool]:
    """Hold for the calls of a range that are behind one and up to another.

    One bound at either end: of several, SQLite walks its index by whichever comes first, and not by the closest.
    """
    began_at, call_id = calls.c.began_at, calls.c.call_id
    parts = [
        began_at <= (query.until if after is None else min(after[0], query.until)),
        began_at >= (query.since if to is None else max(to[0], query.since)),
    ]
    if after is not None:
        parts.append(or_(began_at < after[0], and_(began_at == after[0], call_id < after[1])))
    if to is not None:
        parts.append(or_(began_at > to[0], and_(began_at == to[0], call_id >= to[1])))
    return and_(*parts)


def _is_indexed(condition: Condition) -> bool:
    if condition.field not in _INDEXED or condition.negated or len(condition.values) != 1:
        return False
    return "*" not in condition.values[0]


def _holds(condition: Condition) -> ColumnElement[bool]:
    column = _NUMBERS.get(condition.field)
    holds = _matches(condition) if column is None else _compares(column, condition)
    if not condition.negated:
        return holds
    return not_(func.coalesce(holds, false()))


def _compares(column: ColumnElement[Any], condition: Condition) -> ColumnElement[bool]:
    number = condition.number
    match condition.op:
        case "<":
            return column < number
        case "<=":
            return column <= number
        case ">":
            return column > number
        case ">=":
            return column >= number
        case _:
            return column == number


def _matches(condition: Condition) -> ColumnElement[bool]:
    return or_(*(_is(column, value) for column in _TEXTS[condition.field] for value in condition.values))


def _is(column: ColumnElement[Any], value: str) -> ColumnElement[bool]:
    if column is calls.c.outcome and value == RUNNING:
        return column.is_(None)
    if "*" not in value:
        return column == value
    escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
    return column.ilike(escaped, escape="\\")


def _with_groups(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Make calls as they are shown, with the groups of those that failed."""
    groups = groups_of(connection, [row["error_hash"] for row in rows if row["error_hash"] is not None])
    return [as_call(row, groups.get(row["error_hash"])) for row in rows]


def groups_of(connection: Connection, hashes: Sequence[str]) -> Mapping[str, int]:
    """Find the numbers of the groups of EXAI's own faults by their hashes."""
    if not hashes:
        return {}
    query = (
        select(error_fingerprints.c.hash, error_groups.c.number)
        .join_from(error_fingerprints, error_groups, error_fingerprints.c.group_id == error_groups.c.group_id)
        .where(error_fingerprints.c.project_id == OWN_PROJECT, error_fingerprints.c.hash.in_(set(hashes)))
    )
    return {hash_: int(number) for hash_, number in connection.execute(query)}


def as_call(row: Mapping[str, Any], group: int | None) -> dict[str, Any]:
    """Make a call as it is shown."""
    shown = {
        name: row[name]
        for name in _COLUMNS
        if name not in {"owner", "model_used", "error_code", "error_hash"}
    }
    return {
        **shown,
        "caller": row["owner"],
        "model": row["model_used"],
        "error": row["error_code"],
        "emulated": bool(row["emulated"]),
        "group": None if group is None else f"E-{group}",
    }
