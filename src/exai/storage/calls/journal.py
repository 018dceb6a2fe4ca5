"""The journal: one row per call that asks a provider, begun before it is asked and always ended, with its requests.

A row without an end belongs to a call that runs, or to a process that died; `sweep`
tells the two apart by `Database.is_over`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Connection,
    bindparam,
    delete,
    insert,
    literal_column,
    select,
    update,
)

from exai.callers import Caller, Credential
from exai.config.auth import OWN_ISSUER
from exai.costs import Usage
from exai.events.requests import RequestRecord
from exai.runtime.clock import Clock
from exai.storage.calls.requests import INSERT_REQUESTS, rows_of
from exai.storage.database import Database
from exai.storage.dialects import ManyRows, insert_if_absent, upsert
from exai.storage.error_tracking.schema import call_spans
from exai.storage.pruning import BATCH, in_batches
from exai.storage.schema import TIMINGS, calls
from exai.storage.write_operations import LockGroup, all_at_once, row_by_row

__all__ = ["CallBegun", "CallEnd", "CallOutcome", "Journal"]

LOST = "lost"


class CallBegun(msgspec.Struct, frozen=True):
    """A call that is about to ask a provider."""

    call_id: str
    caller: Caller
    tool: str
    model_requested: str | None
    conversation_id: str | None


class CallEnd(msgspec.Struct, frozen=True):
    """How a call ended."""

    call_id: str
    outcome: str
    """`ok`, `failed`, `cancelled` or `timed_out`."""
    error_code: str | None
    model_used: str | None
    provider: str | None
    conversation_id: str | None
    usage: Usage | None
    cost_usd: float | None
    """By list price, of all parts that have a known one."""
    timings: dict[str, float]
    """Milliseconds by the names of `schema.TIMINGS`."""
    requests: tuple[RequestRecord, ...] = ()
    """What it asked of providers; usage and cost above are their sums."""
    model_reason: str | None = None
    """Why `model_used` is not what was requested."""
    report: str | None = None
    """What the tool reports of its result, as JSON."""
    error_hash: str | None = None
    """By which its failure is grouped."""
    spans: str | None = None
    """In which order it spent its time, as JSON; `None`: that is not kept."""


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How a call ended, as its owner may see it."""

    call_id: str
    began_at: datetime
    tool: str
    model_requested: str | None
    model_used: str | None
    outcome: str
    error_code: str | None


class Journal:
    """Writes the begin and the end of calls, and reads recent failures."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._beginning: dict[str, dict[str, Any]] = {}
        """Rows by call that are not known to be committed; they may arrive after the end, or not at all."""

    async def begin(self, call: CallBegun) -> None:
        """Write the row; when this returns it is committed, and a provider may be asked.

        However this ends, the call needs its `end_soon`.

        Raises:
            StoreFailed: it was not kept, or nobody knows.
        """
        caller = call.caller
        row = {
            "call_id": call.call_id,
            "run_id": self._database.run_id,
            "owner": caller.subject,
            "token": _token_name(caller.credential),
            "door": caller.door,
            "client": caller.client,
            "tool": call.tool,
            "model_requested": call.model_requested,
            "conversation_id": call.conversation_id,
            "began_at": self._clock.utc(),
        }
        self._beginning[call.call_id] = row
        await self._database.write(_write_calls, _Begin(row))
        del self._beginning[call.call_id]

    def end_soon(self, end: CallEnd) -> None:
        """Queue the row's end, which outlives an outage of the database.

        If the process dies before it is committed, the row becomes `lost`. It travels with the next write: nobody waits
        for it, and alone it would delay the next call by a commit.
        """
        usage = end.usage or Usage()
        row: dict[str, Any] = {
            "of_call": end.call_id,
            "outcome": end.outcome,
            "error_code": end.error_code,
            "error_hash": end.error_hash,
            "model_used": end.model_used,
            "provider": end.provider,
            "model_reason": end.model_reason,
            "requests": sum([request.attempts for request in end.requests]),
            "conversation_id": end.conversation_id,
            "input_tokens": usage.input,
            "cached_tokens": usage.cached,
            "cache_write_tokens": usage.cache_write,
            "output_tokens": usage.output,
            "reasoning_tokens": usage.reasoning,
            "cost_usd": end.cost_usd,
            "without_price": sum([request.without_price for request in end.requests]),
            "emulated": sum([request.emulated for request in end.requests]),
            "report": end.report,
        }
        for name in TIMINGS:
            row[name] = end.timings.get(name)
        begun = self._beginning.pop(end.call_id, None)
        write = _End(row, rows_of(end.call_id, end.requests), begun, end.spans)
        self._database.write_soon(_write_calls, write, durable=True, may_wait=True)

    async def sweep(self) -> int:
        """Mark the rows `lost` whose process died before their end; how many there were."""
        runs = await self._database.read(
            lambda connection: connection.scalars(
                select(calls.c.run_id).where(calls.c.outcome.is_(None)).distinct()
            ).all()
        )
        over = [run_id for run_id in runs if await self._database.is_over(run_id)]
        return sum([await self._database.write(_mark_lost, run_id) for run_id in over])

    async def recent_calls(self, *, owner: str, limit: int) -> Sequence[CallOutcome]:
        """Read the owner's latest calls that have ended, newest first."""
        return await self._recent(calls.c.outcome.is_not(None), owner, limit)

    async def recent_failures(self, *, owner: str, limit: int) -> Sequence[CallOutcome]:
        """Read the owner's latest calls that ended in anything but an answer, newest first."""
        return await self._recent(calls.c.outcome != _OK, owner, limit)

    async def _recent(self, condition: ColumnElement[bool], owner: str, limit: int) -> Sequence[CallOutcome]:
        query = (
            select(
                calls.c.call_id,
                calls.c.began_at,
                calls.c.tool,
                calls.c.model_requested,
                calls.c.model_used,
                calls.c.outcome,
                calls.c.error_code,
            )
            .where(calls.c.owner == owner, condition)
            .order_by(calls.c.began_at.desc())
            .limit(limit)
        )
        return await self._database.read(
            lambda connection: [CallOutcome(*row) for row in connection.execute(query)]
        )

    async def prune(self, keep_days: int) -> int:
        """Delete ended rows that began more than `keep_days` ago; how many there were."""
        before = self._clock.utc() - timedelta(days=keep_days)
        return await in_batches(lambda: self._database.write(_prune, before))


_OK: ColumnClause[str] = literal_column("'ok'")
"""A literal in the statement: PostgreSQL uses the partial index only then."""

_free_for_cleaning = select(calls.c.call_id).with_for_update(skip_locked=True)
"""Calls that nobody else is writing just now."""

_INSERT = ManyRows(insert(calls))
_ENDS_IN = (
    "outcome",
    "error_code",
    "error_hash",
    "model_used",
    "provider",
    "model_reason",
    "requests",
    "conversation_id",
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_usd",
    "without_price",
    "emulated",
    "report",
    *TIMINGS,
)
_END = ManyRows(
    update(calls)
    .where(calls.c.call_id == bindparam("of_call"))
    .values({name: bindparam(name) for name in _ENDS_IN})
)
_INSERT_SPANS = ManyRows(insert_if_absent(call_spans))
_BEGIN_AND_END = upsert(calls, _ENDS_IN)
"""For a row that may not be there: waits for a transaction that is still to commit it, and else writes it whole."""


class _Begin(msgspec.Struct, frozen=True):
    row: dict[str, Any]


class _End(msgspec.Struct, frozen=True):
    row: dict[str, Any]
    requests: list[dict[str, Any]]
    begun: dict[str, Any] | None
    """How the row began, where that may not be committed."""
    spans: str | None


@all_at_once(LockGroup.CALLS)
def _write_calls(connection: Connection, writes: list[_Begin | _End]) -> None:
    """Write begins, then ends: a call that was cancelled at once has both in one commit."""
    begins = [write.row for write in writes if isinstance(write, _Begin)]
    ends = [write for write in writes if isinstance(write, _End)]
    requests = [row for end in ends for row in end.requests]
    if begins:
        _INSERT.execute(connection, begins)
    if known := [end.row for end in ends if end.begun is None]:
        _END.execute(connection, known)
    if unsure := [_whole(end.row, end.begun) for end in ends if end.begun is not None]:
        _BEGIN_AND_END.execute(connection, unsure)
    if requests:
        INSERT_REQUESTS.execute(connection, requests)
    if spans := [
        {"call_id": end.row["of_call"], "spans": end.spans} for end in ends if end.spans is not None
    ]:
        _INSERT_SPANS.execute(connection, spans)


def _whole(end: dict[str, Any], begun: dict[str, Any]) -> dict[str, Any]:
    row = {**begun, **end}
    del row["of_call"]
    return row


def _token_name(credential: Credential | None) -> str | None:
    if credential is None:
        return None
    own = credential.issuer == OWN_ISSUER
    return credential.token_id if own else f"{credential.issuer}:{credential.token_id}"


@row_by_row(LockGroup.CLEANING)
def _mark_lost(connection: Connection, run_id: str) -> int:
    open_calls = _free_for_cleaning.where(calls.c.run_id == run_id, calls.c.outcome.is_(None))
    return connection.execute(
        update(calls).where(calls.c.call_id.in_(open_calls)).values(outcome=LOST)
    ).rowcount


@row_by_row(LockGroup.CLEANING)
def _prune(connection: Connection, moment: datetime) -> int:
    old = _free_for_cleaning.where(calls.c.began_at < moment, calls.c.outcome.is_not(None)).limit(BATCH)
    return connection.execute(delete(calls).where(calls.c.call_id.in_(old))).rowcount
