"""Rows of calls that carry an idempotency key, so that one that is asked for again is not run again.

A row is begun before a provider is asked and ended before the answer leaves. A row without
an end belongs to a call that runs, or to a process that died; `Database.is_over` tells which.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, delete, or_, select, tuple_, update

from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.storage.dialects import insert_if_absent
from exai.storage.pruning import BATCH, in_batches
from exai.storage.schema import conversations, exchanges, idempotent_calls
from exai.storage.write_operations import LockGroup, row_by_row, together

__all__ = ["IdempotentCallId", "IdempotentCallTable", "KeptCall"]

LONGEST_CALL = timedelta(days=1)
"""What `timeouts.call_s` may be at most: an older row without an end is no running call's."""


class IdempotentCallId(NamedTuple):
    """An idempotency key of an owner. Another owner's equal key names another call."""

    owner: str
    key: str


class KeptCall(msgspec.Struct, frozen=True):
    """What is kept of a call under an idempotency key."""

    digest: str
    call_id: str
    run_id: str
    began_at: datetime
    ended: bool
    result: str | None
    """`None` in an ended one: it was too large to be kept, or deleted with its conversation."""


class IdempotentCallTable:
    """Begins, ends, frees and finds."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def find(self, call: IdempotentCallId) -> KeptCall | None:
        """Read the row, as committed; `None`: the key is free.

        Raises:
            StoreFailed: the database is out of reach.
        """
        parameters = _identity(call)
        return await self._database.read(lambda connection: _kept(connection, parameters))

    async def begin(self, call: IdempotentCallId, *, digest: str, tool: str, call_id: str) -> bool:
        """Write the row, unless there is one; whether it was written. When this returns it is committed.

        Raises:
            StoreFailed: it may not be kept.
        """
        row = self._row(call, digest=digest, tool=tool, call_id=call_id)
        return await self._database.write(_write_calls, row)

    async def end(self, call: IdempotentCallId, *, call_id: str, result: str | None) -> None:
        """Keep the result of the call that began the row.

        Raises:
            StoreFailed: it was not kept.
        """
        row = {**_identity(call), "of_call": call_id, "ended_at": self._clock.utc(), "result": result}
        await self._database.write(_write_calls, row)

    async def free(self, call: IdempotentCallId, *, digest: str, tool: str, call_id: str) -> None:
        """Delete the row, if it is that call's, also one whose `begin` failed and is still to be committed.

        Raises:
            StoreFailed: it is still there.
        """
        row = self._row(call, digest=digest, tool=tool, call_id=call_id)
        await self._database.write(_write_calls, {**_identity(call), "of_call": call_id, "begun": row})

    def _row(self, call: IdempotentCallId, *, digest: str, tool: str, call_id: str) -> dict[str, Any]:
        return {
            "owner": call.owner,
            "idempotency_key": call.key,
            "digest": digest,
            "tool": tool,
            "call_id": call_id,
            "run_id": self._database.run_id,
            "began_at": self._clock.utc(),
        }

    async def conversation_of(self, call: IdempotentCallId, call_id: str) -> str | None:
        """Find the owner's conversation in which that call's exchange was committed; `None`: it never was.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = select(exchanges.c.conversation_id).where(
            exchanges.c.call_id == call_id,
            exchanges.c.conversation_id == conversations.c.conversation_id,
            conversations.c.owner == call.owner,
        )
        return await self._database.read(lambda connection: connection.scalar(query))

    async def is_abandoned(self, run_id: str) -> bool:
        """Whether a row of that run will never be ended: its process has gone, or is this one, which knows its own."""
        return run_id == self._database.run_id or await self._database.is_over(run_id)

    async def prune(self, keep_hours: int) -> int:
        """Delete rows that began more than `keep_hours` ago and belong to no running call; how many there were."""
        before = self._clock.utc() - timedelta(hours=keep_hours)
        return await in_batches(lambda: self._database.write(_prune, before))


_this = (
    idempotent_calls.c.owner == bindparam("of_owner"),
    idempotent_calls.c.idempotency_key == bindparam("of_key"),
)
_BEGIN = insert_if_absent(idempotent_calls)
_FIND = select(
    idempotent_calls.c.digest,
    idempotent_calls.c.call_id,
    idempotent_calls.c.run_id,
    idempotent_calls.c.began_at,
    idempotent_calls.c.ended_at.is_not(None),
    idempotent_calls.c.result,
).where(*_this)
_END = (
    update(idempotent_calls)
    .where(*_this, idempotent_calls.c.call_id == bindparam("of_call"))
    .values(ended_at=bindparam("ended_at"), result=bindparam("result"))
)
_FREE = delete(idempotent_calls).where(*_this, idempotent_calls.c.call_id == bindparam("of_call"))


def _identity(call: IdempotentCallId) -> dict[str, str]:
    return {"of_owner": call.owner, "of_key": call.key}


def _kept(connection: Connection, parameters: dict[str, str]) -> KeptCall | None:
    row = connection.execute(_FIND, parameters).first()
    return None if row is None else KeptCall(*row)


@together(LockGroup.IDEMPOTENT_CALLS)
def _write_calls(connection: Connection, rows: list[dict[str, Any]]) -> list[bool]:
    """Begin, end and free rows, in this order: a call that was cancelled at once has both its marks in one commit.

    Each of the three goes by key, as `write_operations` demands: other processes may want the same rows.
    """
    written = [True] * len(rows)
    begins = [index for index, row in enumerate(rows) if "run_id" in row]
    for index in sorted(begins, key=lambda index: (rows[index]["owner"], rows[index]["idempotency_key"])):
        written[index] = _BEGIN.execute(connection, rows[index]).rowcount == 1
    others = sorted((row for row in rows if "run_id" not in row), key=_by_key)
    if ends := [row for row in others if "ended_at" in row]:
        connection.execute(_END, ends)
    for row in (row for row in others if "ended_at" not in row):
        _BEGIN.execute(connection, row["begun"])  # waits for a transaction that is still to commit it
        connection.execute(_FREE, row)
    return written


def _by_key(row: dict[str, Any]) -> tuple[str, str]:
    return row["of_owner"], row["of_key"]


@row_by_row(LockGroup.CLEANING)
def _prune(connection: Connection, moment: datetime) -> int:
    row = idempotent_calls.c
    ended = or_(row.ended_at.is_not(None), row.began_at < moment - LONGEST_CALL)
    old = (
        select(row.owner, row.idempotency_key)
        .where(row.began_at < moment, ended)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    return connection.execute(
        delete(idempotent_calls).where(tuple_(row.owner, row.idempotency_key).in_(old))
    ).rowcount
