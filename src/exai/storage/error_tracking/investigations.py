"""Rows of investigations and of what their models were shown.

    –  ──asked──→ asked ──begun──→ running ──report──→ done
                    ↑                │  ├──────────────→ failed
                    │ begun again    │  └─ nobody to ask ─→ postponed ──begun──→ running
                    └─ process died ─┘
    asked, running, postponed ──→ cancelled

One of a group is unfinished at a time, by an index; one runs at a time of all processes, by the statement that begins
it. A round that was taken up twice is not taken up again. The report, its evidence and the end are one transaction.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, delete, exists, insert, or_, select, update

from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.storage.dialects import database_time, insert_if_absent
from exai.storage.error_tracking.announcing import announce_investigation
from exai.storage.error_tracking.schema import (
    error_groups,
    error_occurrences,
    evidence,
    investigations,
)
from exai.storage.fleet.heartbeat import GONE
from exai.storage.fleet.schema import replicas
from exai.storage.notices.writing import NOBODY, Targets
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = [
    "UNFINISHED",
    "EvidenceRow",
    "Finished",
    "InvestigationRow",
    "InvestigationState",
    "InvestigationTables",
    "Reason",
    "Taken",
]

InvestigationState = Literal["asked", "running", "postponed", "done", "failed", "cancelled"]
Reason = Literal["new", "regressed", "escalated", "changed", "asked"]
"""Why a group is investigated: it is new, it came back, it is ten times as frequent, a cited file has changed, or
somebody asked."""
UNFINISHED = ("asked", "running", "postponed")

MOST_TAKEN_UP = 2
"""Processes that begin a round: the second takes up what the first left."""
ALIVE = timedelta(seconds=30)
"""Since its last sign of life, a run is taken for alive; it gives one every ten seconds."""


class InvestigationRow(msgspec.Struct, frozen=True, kw_only=True):
    """An investigation, as its row has it."""

    investigation_id: str
    group_id: str
    reason: Reason
    asked_by: str
    state: InvestigationState
    stage: str
    round: int
    taken_up: int
    asked_at: datetime
    run_id: str | None
    """Of the process that began the round."""
    began_at: datetime | None
    ended_at: datetime | None
    seen: int
    """Of the group, when it was asked for."""
    release: str
    requests: int
    tokens: int
    cost_usd: float | None
    duration_ms: int | None
    models: str
    level: str | None
    fix: str
    why: str
    report: str | None
    """JSON."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state not in UNFINISHED


class EvidenceRow(msgspec.Struct, frozen=True):
    """One text that models were shown."""

    evidence_id: str
    kind: str
    place: str
    sha256: str
    provenance: str
    text: str


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """How an investigation ends."""

    investigation_id: str
    state: Literal["done", "failed"]
    why: str = ""
    level: str | None = None
    fix: str = ""
    models: str = ""
    tokens: int = 0
    cost_usd: float | None = None
    report: str | None = None
    evidence: tuple[EvidenceRow, ...] = ()
    occurrences: tuple[str, ...] = ()
    """Which are kept for good: the one that was investigated, and those that the report cites."""


class Taken(msgspec.Struct, frozen=True):
    """What became of beginning a round."""

    result: Literal["begun", "busy", "interrupted", "over"]
    """`busy`: another one runs; `interrupted`: this was its second time, so that it has failed now."""
    row: InvestigationRow | None = None


class InvestigationTables:
    """Asks for, begins, ends and finds investigations, and writes down what webhooks are told of their ends."""

    def __init__(self, database: Database, clock: Clock, targets: Targets = NOBODY) -> None:
        self._database = database
        self._clock = clock
        self._targets = targets

    async def ask(self, group_id: str, reason: Reason, asked_by: str) -> InvestigationRow | None:
        """Ask for one; if one of the group is unfinished, that is it. `None`: the group is gone, or our own doing.

        Raises:
            StoreFailed: it was not asked for.
        """
        investigation_id = f"inv_{secrets.token_hex(8)}"
        return await self._database.write(
            _ask, (investigation_id, group_id, reason, asked_by, self._clock.utc())
        )

    async def begin(self, investigation_id: str) -> Taken:
        """Begin a round, unless another investigation runs.

        Raises:
            StoreFailed: nobody knows whether it was begun.
        """
        begun = (investigation_id, self._database.run_id, self._clock.utc(), self._targets)
        return await self._database.write(_begin, begun)

    async def note_stage(self, investigation_id: str, stage: str, *, asks: bool = False) -> bool:
        """Say what a running one does; return whether it still runs.

        Args:
            asks: a request is sent next; it counts whether it is answered or not, and until `note_spent` says so it
            is not known what all of it cost.

        Raises:
            StoreFailed: it was not said.
        """
        return await self._database.write(_note_stage, (investigation_id, stage, int(asks)))

    async def note_spent(self, investigation_id: str, tokens: int, cost_usd: float | None) -> None:
        """Say what a running one has cost so far, with all processes that worked on it.

        Raises:
            StoreFailed: it was not said.
        """
        await self._database.write(_note_spent, (investigation_id, tokens, cost_usd))

    async def finish(self, finished: Finished) -> bool:
        """Keep the report with its evidence, and end the investigation; return whether it was running.

        Raises:
            StoreFailed: nothing was kept.
        """
        return await self._database.write(_finish, (finished, self._clock.utc(), self._targets))

    async def postpone(self, investigation_id: str, why: str) -> None:
        """End a round that nobody could be asked in.

        Raises:
            StoreFailed: it runs on, for all that is known.
        """
        await self._database.write(_postpone, (investigation_id, why))

    async def cancel(self, investigation_id: str, why: str) -> bool:
        """End one that is not over; return whether there was one.

        Raises:
            StoreFailed: nothing was changed.
        """
        return await self._database.write(_cancel, (investigation_id, why, self._clock.utc()))

    async def find(self, investigation_id: str) -> InvestigationRow | None:
        """Find one.

        Raises:
            StoreFailed: the database is out of reach.
        """
        return await self._database.read(lambda connection: _find(connection, investigation_id))

    async def latest_of(self, group_id: str, *, done: bool = False) -> InvestigationRow | None:
        """Find the latest of a group; with `done` the latest that has a report.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = _SELECT.where(_row.group_id == group_id).order_by(_row.asked_at.desc(), _row.investigation_id)
        if done:
            query = query.where(_row.state == "done")
        row = await self._database.read(lambda connection: connection.execute(query.limit(1)).first())
        return None if row is None else _investigation(row)

    async def unfinished(self) -> list[InvestigationRow]:
        """List those that are not over, in the order in which they were asked for; those of people first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = _SELECT.where(_row.ended_at.is_(None)).order_by(
            (_row.reason == "asked").desc(), _row.asked_at, _row.investigation_id
        )
        return await self._listed(query)

    async def latest_ended(self, most: int) -> list[InvestigationRow]:
        """List those that are over, the latest first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = _SELECT.where(_row.state.in_(("done", "failed"))).order_by(
            _row.ended_at.desc(), _row.investigation_id
        )
        return await self._listed(query.limit(most))

    async def latest_by_group(self, group_ids: Sequence[str]) -> dict[str, InvestigationRow]:
        """Find the latest of each of some groups.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = _SELECT.where(_row.group_id.in_(group_ids)).order_by(_row.asked_at)
        return {each.group_id: each for each in await self._listed(query)}

    async def evidence_of(self, investigation_id: str) -> list[EvidenceRow]:
        """Read what the models of one were shown.

        Raises:
            StoreFailed: the database is out of reach.
        """
        names = EvidenceRow.__struct_fields__
        query = select(*(evidence.c[name] for name in names)).where(
            evidence.c.investigation_id == investigation_id
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return sorted((EvidenceRow(*row) for row in rows), key=lambda each: _order(each.evidence_id))

    async def prune(self, keep_days: int) -> int:
        """Delete what ended long ago: the evidence, and all but the latest of each group and its latest with a report.

        Reports have the quotes that count. Return how many pieces of evidence were deleted.

        Raises:
            StoreFailed: it is still there.
        """
        return await self._database.write(_prune, self._clock.utc() - timedelta(days=keep_days))

    async def _listed(self, query: Any) -> list[InvestigationRow]:
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [_investigation(row) for row in rows]


_row = investigations.c
_FIELDS = InvestigationRow.__struct_fields__
_INSERT = insert_if_absent(investigations)
_SELECT = select(*(_row[name] for name in _FIELDS))


def _investigation(row: Sequence[Any]) -> InvestigationRow:
    return InvestigationRow(**dict(zip(_FIELDS, row, strict=True)))


def _order(evidence_id: str) -> tuple[int, ...]:
    """Order `e4.10` behind `e4.9`."""
    return tuple(int(part) if part.isdigit() else 0 for part in evidence_id.removeprefix("e").split("."))


def _find(connection: Connection, investigation_id: str) -> InvestigationRow | None:
    row = connection.execute(_SELECT.where(_row.investigation_id == investigation_id)).first()
    return None if row is None else _investigation(row)


@row_by_row(LockGroup.ERRORS)
def _ask(connection: Connection, asked: tuple[str, str, Reason, str, datetime]) -> InvestigationRow | None:
    investigation_id, group_id, reason, asked_by, at = asked
    group = error_groups.c
    of_group = connection.execute(
        select(group.seen, group.last_release).where(group.group_id == group_id, group.own_doing == 0)
    ).first()
    if of_group is None:
        return None
    row = InvestigationRow(
        investigation_id=investigation_id,
        group_id=group_id,
        reason=reason,
        asked_by=asked_by,
        state="asked",
        stage="",
        round=0,
        taken_up=0,
        asked_at=at,
        run_id=None,
        began_at=None,
        ended_at=None,
        seen=int(of_group[0]),
        release=of_group[1],
        requests=0,
        tokens=0,
        cost_usd=0.0,
        duration_ms=None,
        models="",
        level=None,
        fix="",
        why="",
        report=None,
    )
    _INSERT.execute(connection, msgspec.structs.asdict(row))
    unfinished = _SELECT.where(_row.group_id == group_id, _row.ended_at.is_(None))
    found = connection.execute(unfinished).first()
    return None if found is None else _investigation(found)


@row_by_row(LockGroup.ERRORS)
def _begin(connection: Connection, parameters: tuple[str, str, datetime, Targets]) -> Taken:
    investigation_id, run_id, now, targets = parameters
    row = _find(connection, investigation_id)
    if row is None or row.is_over:
        return Taken("over", row)
    since = database_time(connection, now) - ALIVE
    alive = select(replicas.c.run_id).where(replicas.c.state != GONE, replicas.c.beat_at > since)
    is_elsewhere = or_(_row.investigation_id != investigation_id, _row.run_id != run_id)
    others = select(_row.investigation_id).where(
        _row.state == "running", _row.run_id.in_(alive), is_elsewhere
    )
    if connection.execute(select(exists(others))).scalar():
        return Taken("busy", row)
    if row.taken_up >= MOST_TAKEN_UP:
        why = "Interrupted twice: each process that worked on it ended meanwhile."
        _put(connection, investigation_id, {"state": "failed", "stage": "", "why": why, "ended_at": now})
        announce_investigation(connection, targets, row.group_id, "failed", {"requests": row.requests}, now)
        return Taken("interrupted", _find(connection, investigation_id))
    begun = {"state": "running", "stage": "begins", "run_id": run_id, "began_at": now, "why": ""}
    _put(connection, investigation_id, {**begun, "taken_up": row.taken_up + 1})
    return Taken("begun", _find(connection, investigation_id))


@row_by_row(LockGroup.ERRORS)
def _note_stage(connection: Connection, parameters: tuple[str, str, int]) -> bool:
    investigation_id, stage, asks = parameters
    statement = update(investigations).where(
        _row.investigation_id == investigation_id, _row.state == "running"
    )
    values: dict[str, Any] = {"stage": stage, "requests": _row.requests + asks}
    if asks:
        values["cost_usd"] = None
    return bool(connection.execute(statement.values(values)).rowcount)


@row_by_row(LockGroup.ERRORS)
def _note_spent(connection: Connection, parameters: tuple[str, int, float | None]) -> None:
    investigation_id, tokens, cost_usd = parameters
    statement = update(investigations).where(
        _row.investigation_id == investigation_id, _row.state == "running"
    )
    connection.execute(statement.values(tokens=tokens, cost_usd=cost_usd))


@row_by_row(LockGroup.ERRORS)
def _finish(connection: Connection, parameters: tuple[Finished, datetime, Targets]) -> bool:
    finished, now, targets = parameters
    row = _find(connection, finished.investigation_id)
    if row is None or row.state != "running" or row.began_at is None:
        return False
    for each in finished.evidence:
        values = {"investigation_id": finished.investigation_id, **msgspec.structs.asdict(each)}
        connection.execute(insert(evidence).values(values))
    kept = error_occurrences.c
    connection.execute(
        update(error_occurrences).where(kept.occurrence_id.in_(finished.occurrences)).values(keep=1)
    )
    values = {
        name: getattr(finished, name)
        for name in ("state", "why", "level", "fix", "models", "tokens", "cost_usd", "report")
    }
    duration_ms = int((now - row.began_at).total_seconds() * 1000)
    _put(
        connection,
        finished.investigation_id,
        {**values, "stage": "", "ended_at": now, "duration_ms": duration_ms},
    )
    how = f"{finished.state}, {finished.level}" if finished.level else finished.state
    counts = {"requests": row.requests, "seconds": duration_ms / 1000}
    announce_investigation(connection, targets, row.group_id, how, counts, now)
    return True


@row_by_row(LockGroup.ERRORS)
def _postpone(connection: Connection, parameters: tuple[str, str]) -> None:
    investigation_id, why = parameters
    statement = update(investigations).where(
        _row.investigation_id == investigation_id, _row.state.in_(("asked", "running"))
    )
    connection.execute(
        statement.values(state="postponed", stage="", why=why, round=_row.round + 1, taken_up=0)
    )


@row_by_row(LockGroup.ERRORS)
def _cancel(connection: Connection, parameters: tuple[str, str, datetime]) -> bool:
    investigation_id, why, now = parameters
    statement = update(investigations).where(
        _row.investigation_id == investigation_id, _row.state.in_(UNFINISHED)
    )
    return bool(
        connection.execute(statement.values(state="cancelled", stage="", why=why, ended_at=now)).rowcount
    )


@row_by_row(LockGroup.ERRORS)
def _prune(connection: Connection, before: datetime) -> int:
    old = select(_row.investigation_id).where(_row.ended_at < before)
    pieces = connection.execute(delete(evidence).where(evidence.c.investigation_id.in_(old))).rowcount
    later = investigations.alias("later")
    comes_later = exists().where(
        later.c.group_id == _row.group_id,
        later.c.asked_at > _row.asked_at,
        or_(_row.state != "done", later.c.state == "done"),
    )
    connection.execute(delete(investigations).where(_row.ended_at < before, comes_later))
    return pieces


def _put(connection: Connection, investigation_id: str, values: dict[str, Any]) -> None:
    connection.execute(
        update(investigations).where(_row.investigation_id == investigation_id).values(**values)
    )
