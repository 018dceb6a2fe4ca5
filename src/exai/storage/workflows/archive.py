"""Runs of workflows as whoever runs EXAI handles them: listed, shown and cancelled, whosever they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, func, select, update

from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.storage.schema import workflow_requests, workflow_steps, workflows
from exai.storage.workflows.runs import Run, RunState
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["RunArchive", "RunSelection", "RunSummary"]

OVER = ("done", "failed", "cancelled")
"""States that nothing follows."""
SET_ASIDE = "set aside "
"""Before the digest of a run that no call is answered with."""


@dataclass(frozen=True, slots=True)
class RunSelection:
    """Which runs: those to which all that is given applies."""

    owner: str | None = None
    tool: str | None = None
    state: RunState | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return it as conditions on `workflows`."""
        given = {"owner": self.owner, "tool": self.tool, "state": self.state}
        return [workflows.c[name] == value for name, value in given.items() if value is not None]


class RunSummary(msgspec.Struct, frozen=True):
    """A run without what was asked and answered in it."""

    workflow_id: str
    owner: str
    tool: str
    form: str
    state: RunState
    stage: str
    requests: int
    usd: float
    """What its requests cost, as far as that is known."""
    created_at: datetime
    updated_at: datetime


class RunArchive:
    """Lists, shows and cancels."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def listing(self, selection: RunSelection, most: int | None = None) -> Sequence[RunSummary]:
        """List runs, the latest worked at first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row, step = workflows.c, workflow_steps.c
        asked = (
            select(
                step.workflow_id,
                func.sum(step.asked).label("requests"),
                func.sum(func.coalesce(step.usd, 0.0)).label("usd"),
            )
            .group_by(step.workflow_id)
            .subquery()
        )
        columns: list[Any] = [
            *(row.workflow_id, row.owner, row.tool, row.form, row.state, row.stage),
            *(func.coalesce(asked.c.requests, 0), func.coalesce(asked.c.usd, 0.0)),
            *(row.created_at, row.updated_at),
        ]
        query = (
            select(*columns)
            .outerjoin(asked, asked.c.workflow_id == row.workflow_id)
            .where(*selection.conditions())
            .order_by(row.updated_at.desc(), row.workflow_id)
            .limit(most)
        )
        return await self._database.read(
            lambda connection: [RunSummary(*found) for found in connection.execute(query).all()]
        )

    async def count(self, selection: RunSelection) -> int:
        """Count runs.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = select(func.count()).select_from(workflows).where(*selection.conditions())
        return await self._database.read(lambda connection: connection.scalar(query) or 0)

    async def get(self, workflow_id: str) -> Run | None:
        """Find a run.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = select(*(workflows.c[name] for name in Run.__struct_fields__)).where(
            workflows.c.workflow_id == workflow_id
        )
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else Run(*row)

    async def arguments(self, workflow_id: str) -> str | None:
        """Return the arguments of the call that began a run, as JSON; `None`: they were not kept.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = select(workflow_requests.c.arguments).where(workflow_requests.c.workflow_id == workflow_id)
        return await self._database.read(lambda connection: connection.scalar(query))

    async def set_aside(self, workflow_id: str) -> None:
        """Have no call answered with a run that is over: the same words begin another one.

        Raises:
            StoreFailed: nothing was changed.
        """
        await self._database.write(_set_aside, workflow_id)

    async def put_back(self, workflow_id: str) -> None:
        """Undo `set_aside`, as no other run was begun.

        Raises:
            StoreFailed: nothing was changed.
        """
        await self._database.write(_put_back, workflow_id)

    async def cancel(self, workflow_id: str) -> bool:
        """End a run that is not over; a call that works at it fails at its next step. False: it is over, or unknown.

        Raises:
            StoreFailed: nothing was changed.
        """
        return await self._database.write(_cancel, (workflow_id, self._clock.utc()))


@row_by_row(LockGroup.WORKFLOWS)
def _set_aside(connection: Connection, workflow_id: str) -> None:
    its = workflows.c.workflow_id == workflow_id
    same = select(workflows.c.owner, workflows.c.digest).where(its)
    for owner, digest in connection.execute(same).all():
        connection.execute(
            update(workflows)
            .where(workflows.c.owner == owner, workflows.c.digest == digest, workflows.c.state.in_(OVER))
            .values(digest=f"{SET_ASIDE}{digest}")
        )


@row_by_row(LockGroup.WORKFLOWS)
def _put_back(connection: Connection, workflow_id: str) -> None:
    its = workflows.c.workflow_id == workflow_id
    for owner, digest in connection.execute(select(workflows.c.owner, workflows.c.digest).where(its)).all():
        connection.execute(
            update(workflows)
            .where(workflows.c.owner == owner, workflows.c.digest == digest)
            .values(digest=digest.removeprefix(SET_ASIDE))
        )


@row_by_row(LockGroup.WORKFLOWS)
def _cancel(connection: Connection, write: tuple[str, datetime]) -> bool:
    workflow_id, now = write
    done = connection.execute(
        update(workflows)
        .where(workflows.c.workflow_id == workflow_id, workflows.c.state.not_in(OVER))
        .values(state="cancelled", revision=workflows.c.revision + 1, updated_at=now)
    )
    return bool(done.rowcount)
