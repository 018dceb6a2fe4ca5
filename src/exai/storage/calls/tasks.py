"""Rows of tasks. Every query names the owner."""

from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.storage.pruning import BATCH, in_batches
from exai.storage.schema import idempotent_calls, tasks
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["TaskRow", "TaskStatus", "TaskTable"]

TaskStatus = Literal["working", "completed", "failed", "cancelled"]


class TaskRow(msgspec.Struct, frozen=True):
    """A call that its client does not wait for."""

    task_id: str
    owner: str
    process: str
    """Which works at it, or did last."""
    tool: str
    """By the name that it was called by."""
    idempotency_key: str
    status: TaskStatus
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    message: str = ""
    arguments: str | None = None
    """JSON; `None` once it has ended."""
    result: str | None = None
    """JSON: the call's result, or the error with which it failed."""


class TaskTable:
    """Keeps tasks until they expire."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.process = database.run_id
        """What the tasks that this process works at have as theirs."""

    async def create(self, row: TaskRow) -> None:
        """Keep a new task. When this returns it is committed.

        Raises:
            StoreFailed: it may not be kept.
        """
        await self._database.write(_create, row)

    async def find(self, owner: str, task_id: str) -> TaskRow | None:
        """Find the owner's task; `None` for an unknown, an expired and another owner's one alike.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = select(*_COLUMNS).where(
            tasks.c.task_id == task_id, tasks.c.owner == owner, tasks.c.expires_at > self._clock.utc()
        )
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else TaskRow(*row)

    async def was_called(self, owner: str, key: str) -> bool:
        """Whether a call of the owner's began under an idempotency key.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = select(idempotent_calls.c.idempotency_key).where(
            idempotent_calls.c.owner == owner, idempotent_calls.c.idempotency_key == key
        )
        return await self._database.read(lambda connection: connection.execute(query).first()) is not None

    async def take(self, row: TaskRow) -> TaskRow | None:
        """Make a task, whose process is gone, the work of this one; `None` where another process was faster.

        Raises:
            StoreFailed: nothing was changed.
        """
        taken = msgspec.structs.replace(row, process=self.process, updated_at=self._clock.utc())
        changed = {"process": taken.process, "updated_at": taken.updated_at}
        return taken if await self._database.write(_change, (row, changed)) else None

    async def end(self, row: TaskRow, status: TaskStatus, message: str, result: str | None) -> TaskRow | None:
        """Keep how a task ended; `None` where it had ended already.

        Raises:
            StoreFailed: it was not kept.
        """
        changed = {
            "status": status,
            "message": message,
            "result": result,
            "arguments": None,
            "updated_at": self._clock.utc(),
        }
        return (
            msgspec.structs.replace(row, **changed)
            if await self._database.write(_change, (row, changed))
            else None
        )

    async def is_left(self, row: TaskRow) -> bool:
        """Whether nobody works at a task any more: its process has gone, or is this one, which knows its own.

        Raises:
            StoreFailed: the database is out of reach.
        """
        return row.process == self.process or await self._database.is_over(row.process)

    async def prune(self) -> int:
        """Delete the tasks that have expired; return how many there were.

        Raises:
            StoreFailed: none was deleted.
        """
        now = self._clock.utc()
        return await in_batches(lambda: self._database.write(_prune, now))


_COLUMNS = tuple(tasks.c[name] for name in TaskRow.__struct_fields__)


@row_by_row(LockGroup.TASKS)
def _create(connection: Connection, row: TaskRow) -> None:
    connection.execute(insert(tasks).values(**msgspec.structs.asdict(row)))


@row_by_row(LockGroup.TASKS)
def _change(connection: Connection, write: tuple[TaskRow, dict[str, Any]]) -> bool:
    row, changed = write
    done = connection.execute(
        update(tasks)
        .where(
            tasks.c.task_id == row.task_id,
            tasks.c.owner == row.owner,
            tasks.c.process == row.process,
            tasks.c.status == "working",
        )
        .values(**changed)
    )
    return bool(done.rowcount)


@row_by_row(LockGroup.TASKS)
def _prune(connection: Connection, now: datetime) -> int:
    expired = select(tasks.c.task_id).where(tasks.c.expires_at <= now).limit(BATCH)
    return connection.execute(delete(tasks).where(tasks.c.task_id.in_(expired))).rowcount
