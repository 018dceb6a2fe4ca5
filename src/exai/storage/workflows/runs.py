"""Rows of runs of workflows. Every query names the owner, and every change the revision that it was made of.

All writes of runs are one operation, so that they happen in the order in which they came: within a commit, operations
of two kinds would not.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.storage.dialects import upsert
from exai.storage.pages import page_of
from exai.storage.pruning import BATCH, in_batches
from exai.storage.schema import workflow_requests, workflow_steps, workflows
from exai.storage.workflows.evidence import EvidenceRow, EvidenceRows, put_evidence, read_evidence
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["RESUMED_FOR", "Run", "RunState", "Step", "StepState", "WorkflowTables"]

RunState = Literal["working", "waiting", "interrupted", "partial", "done", "failed", "cancelled"]
StepState = Literal["begun", "ended", "failed", "dropped"]

RESUMED_FOR = timedelta(days=1)
"""How long after its last step a run that ended half-way goes on when the same is asked for."""


RunWrite = Callable[[Connection], bool]
"""A write of a run; whether it had a row to change."""


class Run(msgspec.Struct, frozen=True):
    """One run of a workflow."""

    workflow_id: str
    owner: str
    conversation_id: str
    tool: str
    version: int
    form: Literal["server", "guided"]
    state: RunState
    stage: str
    digest: str
    process: str
    """Which works at it, or did last; empty where it is done and its answer reached nobody."""
    answer: str | None
    """JSON."""
    revision: int
    """Raised by each change; 0 while it has no row."""
    created_at: datetime
    updated_at: datetime


class Step(msgspec.Struct, frozen=True):
    """One step of a run: a request, what was gathered, or what the caller reported."""

    step: str
    kind: Literal["request", "gather", "report", "record"]
    state: StepState
    digest: str
    asked: int
    """How often it was begun."""
    call_id: str
    began_at: datetime
    output: str | None = None
    """JSON."""
    model: str | None = None
    usd: float | None = None
    seconds: float | None = None
    ended_at: datetime | None = None


class WorkflowTables:
    """Finds and changes runs and their steps."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.process = database.run_id
        """What the runs that this process works at have as theirs."""
        self._left = self._settled = 0
        """How many calls left a run, and of how many all that they wrote is known to be committed."""

    async def is_over(self, process: str) -> bool:
        """Whether a process has gone.

        Raises:
            StoreFailed: the database is out of reach.
        """
        return await self._database.is_over(process)

    async def find(self, owner: str, workflow_id: str) -> Run | None:
        """Find the owner's run; `None` for an unknown one and for another owner's alike."""
        return await self._first(workflows.c.owner == owner, workflows.c.workflow_id == workflow_id)

    async def page(self, owner: str, most: int, after: str | None = None) -> list[Run]:
        """List the owner's runs, the one that was begun last first, behind the one with the id `after`.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = page_of(select(*_RUN_COLUMNS), workflows, workflows.c.workflow_id, owner, most, after)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [Run(*row) for row in rows]

    async def latest(self, owner: str, digest: str) -> Run | None:
        """Find the owner's latest run of what a call asks for."""
        return await self._first(workflows.c.owner == owner, workflows.c.digest == digest)

    async def of_conversation(self, owner: str, conversation_id: str, tool: str) -> Run | None:
        """Find the owner's latest guided run of a tool in a conversation."""
        return await self._first(
            workflows.c.owner == owner,
            workflows.c.conversation_id == conversation_id,
            workflows.c.tool == tool,
            workflows.c.form == "guided",
        )

    async def last_done(self, owner: str, conversation_id: str, tool: str) -> Run | None:
        """Find the owner's latest run of a tool whose answer is in a conversation."""
        return await self._first(
            workflows.c.owner == owner,
            workflows.c.conversation_id == conversation_id,
            workflows.c.tool == tool,
            workflows.c.state == "done",
        )

    async def of_call(self, owner: str, call_id: str) -> Run | None:
        """Find the owner's run that has a step of a call."""
        its = select(workflow_steps.c.workflow_id).where(workflow_steps.c.call_id == call_id)
        return await self._first(workflows.c.owner == owner, workflows.c.workflow_id.in_(its))

    async def steps(self, run: Run) -> list[Step]:
        """List a run's steps in the order in which they were begun first."""
        query = (
            select(*(workflow_steps.c[name] for name in _STEP))
            .where(workflow_steps.c.workflow_id == run.workflow_id)
            .order_by(workflow_steps.c.began_at, workflow_steps.c.step)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [Step(*row) for row in rows]

    async def evidence(self, run: Run) -> list[EvidenceRow]:
        """List what was gathered for a run by its numbers.

        Raises:
            StoreFailed: the database is out of reach.
        """
        return await read_evidence(self._database, run.owner, run.workflow_id)

    async def begin(self, run: Run, arguments: str | None = None) -> Run:
        """Keep a new run, with the arguments of the call that begins it, and return it as it is kept.

        Raises:
            StoreFailed: it was not kept.
        """
        kept = msgspec.structs.replace(run, revision=1)
        write: RunWrite = partial(_begin, run=kept, arguments=arguments)
        await self._database.write(_write, write)
        return kept

    async def change(
        self, run: Run, steps: Sequence[Step] = (), evidence: EvidenceRows | None = None, **fields: Any
    ) -> Run | None:
        """Change fields of a run, put steps and evidence, at its revision; `None` where it has another one by now.

        Raises:
            StoreFailed: nothing was changed.
        """
        changed = msgspec.structs.replace(run, revision=run.revision + 1, **fields)
        write: RunWrite = partial(_change, change=_Change(run, changed, tuple(steps), evidence))
        return changed if await self._database.write(_write, write) else None

    def leave_soon(self, run: Run) -> None:
        """Queue that the call that works at a run here has gone, whatever of its changes is still to be committed.

        A run at which it was at work is interrupted then, and the answer of one that is done reached nobody. Its
        revision stays, so that whoever has read the run may take it.
        """
        self._left += 1
        write: RunWrite = partial(_leave, run=run, process=self.process, now=self._clock.utc())
        self._database.write_soon(_write, write)

    async def prune(self, keep_days: int) -> int:
        """Delete the runs at which nobody worked for so many days, 0 for never; return how many there were.

        Raises:
            StoreFailed: none was deleted.
        """
        if keep_days == 0:
            return 0
        before = self._clock.utc() - timedelta(days=keep_days)
        return await in_batches(lambda: self._database.write(_prune, before))

    async def _first(self, *conditions: Any) -> Run | None:
        await self._settle()
        query = (
            select(*_RUN_COLUMNS)
            .where(*conditions)
            .order_by(workflows.c.created_at.desc(), workflows.c.workflow_id.desc())
            .limit(1)
        )
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else Run(*row)

    async def _settle(self) -> None:
        """Wait until what calls that left had to write is committed, so that runs are read as they left them."""
        if self._settled < (left := self._left):
            await self._database.write(_write, _nothing)
            self._settled = max(self._settled, left)


class _Change(msgspec.Struct, frozen=True):
    run: Run
    changed: Run
    steps: tuple[Step, ...] = ()
    evidence: EvidenceRows | None = None


_RUN_COLUMNS = tuple(workflows.c[name] for name in Run.__struct_fields__)
_STEP = Step.__struct_fields__


@row_by_row(LockGroup.WORKFLOWS)
def _write(connection: Connection, write: RunWrite) -> bool:
    return write(connection)


def _nothing(_: Connection) -> bool:
    return True


def _begin(connection: Connection, run: Run, arguments: str | None) -> bool:
    connection.execute(insert(workflows).values(**msgspec.structs.asdict(run)))
    if arguments is not None:
        values = {"workflow_id": run.workflow_id, "arguments": arguments}
        connection.execute(insert(workflow_requests).values(values))
    return True


def _change(connection: Connection, change: _Change) -> bool:
    run = change.run
    done = connection.execute(
        update(workflows)
        .where(
            workflows.c.workflow_id == run.workflow_id,
            workflows.c.owner == run.owner,
            workflows.c.revision == run.revision,
        )
        .values(**msgspec.structs.asdict(change.changed))
    )
    if not done.rowcount:
        return False
    if change.evidence is not None:
        put_evidence(connection, run.workflow_id, change.evidence)
    for step in change.steps:
        _PUT_STEP.execute(connection, {"workflow_id": run.workflow_id, **msgspec.structs.asdict(step)})
    return True


def _leave(connection: Connection, run: Run, process: str, now: datetime) -> bool:
    its = update(workflows).where(
        workflows.c.workflow_id == run.workflow_id,
        workflows.c.owner == run.owner,
        workflows.c.process == process,
    )
    connection.execute(its.where(workflows.c.state == "working").values(state="interrupted", updated_at=now))
    connection.execute(its.where(workflows.c.state == "done").values(process=""))
    return True


_PUT_STEP = upsert(workflow_steps, [name for name in _STEP if name != "step"])


@row_by_row(LockGroup.WORKFLOWS)
def _prune(connection: Connection, before: datetime) -> int:
    old = select(workflows.c.workflow_id).where(workflows.c.updated_at < before).limit(BATCH)
    return connection.execute(delete(workflows).where(workflows.c.workflow_id.in_(old))).rowcount
