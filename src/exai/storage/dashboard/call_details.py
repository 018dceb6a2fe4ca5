"""What is read beside the row of a call: calls like it, its group and occurrences; and which call an incident was."""

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, select

from exai.storage.dashboard.call_search import groups_of
from exai.storage.database import Database
from exai.storage.error_tracking.schema import error_groups, error_occurrences
from exai.storage.schema import TIMINGS, calls

__all__ = ["CallDetails", "CallSurroundings", "GroupOfCall"]

LIKE = 500
"""Calls like one that it is compared with, the latest before it."""
LIKE_DAYS = 7
SLICE = 5_000
ENOUGH_S = 0.2
OCCURRENCES = 5


class GroupOfCall(msgspec.Struct, frozen=True):
    """The group of a failed call."""

    group: str
    title: str
    state: str
    seen: int


class CallSurroundings(msgspec.Struct, frozen=True):
    """What is known around a call."""

    like: list[dict[str, float]]
    """Stages in milliseconds of answered calls of its tool and model that began before it."""
    since: datetime | None
    """When the first of them began."""
    group: GroupOfCall | None
    occurrences: list[dict[str, Any]]


class CallDetails:
    """Reads it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def around(self, facts: Mapping[str, Any]) -> CallSurroundings:
        """Read what surrounds a call, of which these are the columns.

        Raises:
            QueryTooSlow: it took too long.
            StoreFailed: the database is out of reach.
        """
        return await self._database.view(lambda connection: _around(connection, facts))

    async def of_incident(self, incident_id: str) -> tuple[str | None, int | None]:
        """Find the call of an incident, and the number of its group; `None` where there is none.

        Raises:
            QueryTooSlow: it took too long.
            StoreFailed: the database is out of reach.
        """
        row = error_occurrences.c
        query = (
            select(row.call_id, error_groups.c.number)
            .join_from(error_occurrences, error_groups, row.group_id == error_groups.c.group_id)
            .where(row.incident_id == incident_id)
            .limit(1)
        )
        found = await self._database.view(lambda connection: connection.execute(query).first())
        return (None, None) if found is None else (found[0], int(found[1]))


def _around(connection: Connection, facts: Mapping[str, Any]) -> CallSurroundings:
    like, since = _like(connection, facts)
    hash_ = facts.get("error_hash")
    number = None if hash_ is None else groups_of(connection, [hash_]).get(hash_)
    if number is None:
        return CallSurroundings(like, since, None, [])
    row = error_groups.c
    group_id, title, state, seen = connection.execute(
        select(row.group_id, row.title, row.state, row.seen).where(row.number == number)
    ).one()
    occurred = error_occurrences.c
    query = (
        select(occurred.occurrence_id, occurred.at, occurred.body)
        .where(occurred.group_id == group_id, occurred.call_id == facts["call_id"])
        .order_by(occurred.at.desc())
        .limit(OCCURRENCES)
    )
    occurrences = [
        {"occurrence_id": each[0], "at": each[1], "body": msgspec.json.decode(each[2])}
        for each in connection.execute(query)
    ]
    return CallSurroundings(like, since, GroupOfCall(f"E-{number}", title, state, int(seen)), occurrences)


def _like(connection: Connection, facts: Mapping[str, Any]) -> tuple[list[dict[str, float]], datetime | None]:
    """Walk back through the calls before one, slice by slice, until enough are like it or the time is up."""
    if facts.get("model_used") is None:
        return [], None
    end = time.monotonic() + ENOUGH_S
    until: datetime = facts["began_at"]
    first = until - timedelta(days=LIKE_DAYS)
    is_like = and_(
        calls.c.tool == facts["tool"], calls.c.model_used == facts["model_used"], calls.c.outcome == "ok"
    )
    found: list[dict[str, float]] = []
    since = None
    while len(found) < LIKE and time.monotonic() < end:
        within = and_(calls.c.began_at < until, calls.c.began_at >= first)
        latest = calls.c.began_at.desc()
        last = connection.scalar(
            select(calls.c.began_at).where(within).order_by(latest).offset(SLICE - 1).limit(1)
        )
        if last is not None:
            within = and_(calls.c.began_at < until, calls.c.began_at >= last)
        query = select(calls.c.began_at, *(calls.c[name] for name in TIMINGS)).where(within, is_like)
        for row in connection.execute(query.order_by(latest).limit(LIKE - len(found))):
            since = row[0]
            stages = zip(TIMINGS, row[1:], strict=True)
            found.append({name: value for name, value in stages if value is not None})
        if last is None:
            break
        until = last
    return found, since
