"""Write operations: their adapters, and that two processes that want the same rows never wait in a circle."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, make_url, text
from sqlalchemy.util import await_only
from typing_extensions import override

from exai import config
from exai.callers import Caller, Door
from exai.runtime.clock import ManualClock
from exai.storage import migrate
from exai.storage.calls.idempotent_calls import IdempotentCallId, IdempotentCallTable
from exai.storage.calls.journal import CallBegun, CallEnd, Journal
from exai.storage.conversations.calibrations import Calibration, CalibrationTable
from exai.storage.conversations.tables import ConversationTables, NewExchange
from exai.storage.database import Database
from exai.storage.files.copies import CopyTables
from exai.storage.files.copy_rows import CopyKey, Store
from exai.storage.fleet.beating import BeatingRuns
from exai.storage.group_writer import GroupWriter
from exai.storage.identity.rows import TokenRow
from exai.storage.identity.tables import IdentityTables
from exai.storage.postgresql import PostgresqlBackend
from exai.storage.write_operations import LockGroup, WriteOperation, all_at_once, row_by_row, together
from support.copies import new_copy
from support.postgresql_server import PostgresqlServer
from support.queued_writes import commit_queued
from support.waiting import wait_until

_numbers = itertools.count(1)

AT = datetime(2026, 11, 1, tzinfo=UTC)
KIMI = Store("kimi", "account-1")
Write = Callable[[Database], Awaitable[Any]]
NOBODY: Any = None
"""A connection that is not used."""


def test_row_by_row_calls_once_per_write_in_order() -> None:
    @row_by_row(LockGroup.CALLS)
    def double(_connection: Connection, number: int) -> int:
        return 2 * number

    assert double.run(NOBODY, [3, 1, 2]) == [6, 2, 4]
    assert double.group is LockGroup.CALLS
    assert double.name.endswith("double")


def test_all_at_once_calls_once_and_gives_each_write_nothing() -> None:
    seen: list[list[int]] = []

    @all_at_once(LockGroup.CALLS)
    def keep(_connection: Connection, many: list[int]) -> None:
        seen.append(many)

    assert keep.run(NOBODY, [3, 1, 2]) == [None, None, None]
    assert seen == [[3, 1, 2]]


def test_together_gives_each_write_its_own_result() -> None:
    @together(LockGroup.CALLS)
    def first_of_its_kind(_connection: Connection, many: list[int]) -> list[bool]:
        return [number not in many[:index] for index, number in enumerate(many)]

    assert first_of_its_kind.run(NOBODY, [3, 1, 3]) == [True, True, False]


@pytest.mark.parametrize("arrival", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_a_transaction_takes_lock_groups_in_order_whichever_write_came_first(
    arrival: Sequence[int],
) -> None:
    ran: list[LockGroup] = []

    def noting(group: LockGroup) -> WriteOperation[None, None]:
        @row_by_row(group)
        def note(_connection: Connection, _parameters: None) -> None:
            ran.append(group)

        return note

    async def transact(work: Callable[[Connection], Any]) -> Any:
        return work(NOBODY)

    operations = [noting(group) for group in (LockGroup.CALLS, LockGroup.CONVERSATIONS, LockGroup.CLEANING)]
    writer = GroupWriter(transact, 0.0)
    await asyncio.gather(*(writer.write(operations[index], None) for index in arrival))
    await writer.close()
    assert ran == [LockGroup.CALLS, LockGroup.CONVERSATIONS, LockGroup.CLEANING]


class Meeting:
    """Where two transactions meet, each with a first row written, unless one of them waits for the other's lock."""

    def __init__(self, observer: PostgresqlBackend) -> None:
        self._observer = observer
        self._arrived = 0

    async def meet(self) -> None:
        self._arrived += 1

        async def both_are_there() -> bool:
            return self._arrived == 2 or await self._observer.read(_waiting_for_a_lock) > 0

        await wait_until(both_are_there, what="the other transaction has a row, or waits for a lock")


def _waiting_for_a_lock(connection: Connection) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return int(connection.execute(text(query)).scalar_one())


class Process(PostgresqlBackend):
    """A process' database, whose transaction stops after its first row at a meeting."""

    def __init__(self, url: str, run_id: str) -> None:
        super().__init__(make_url(url))
        self.meeting: Meeting | None = None
        self.transactions = 0
        self.database = Database(self, BeatingRuns(self, config.Fleet()), run_id, 0.0)
        event.listen(self.writers.sync_engine, "after_cursor_execute", self._after_statement)

    @override
    async def transact(self, work: Callable[[Connection], Any]) -> Any:
        self.transactions += 1
        return await super().transact(work)

    def _after_statement(self, _connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if self.meeting is not None and not statement.startswith("SELECT"):
            meeting, self.meeting = self.meeting, None
            await_only(meeting.meet())


@dataclass(frozen=True)
class Pair:
    """Two processes on one database."""

    one: Process
    other: Process
    observer: PostgresqlBackend

    async def commit_at_once(
        self,
        of_one: Sequence[Callable[[Database], Awaitable[Any]]],
        of_other: Sequence[Callable[[Database], Awaitable[Any]]],
    ) -> None:
        """Commit both lists of writes, each in one transaction that stops after its first row; none may fail."""
        meeting = Meeting(self.observer)
        for process in (self.one, self.other):
            process.meeting, process.transactions = meeting, 0
        await asyncio.gather(
            *(write(self.one.database) for write in of_one),
            *(write(self.other.database) for write in of_other),
        )
        # A transaction that is rolled back, as the victim of a deadlock is, is tried again write by write.
        assert [self.one.transactions, self.other.transactions] == [1, 1]


@asynccontextmanager
async def pair_on(url: str) -> AsyncIterator[Pair]:
    observer, one, other = PostgresqlBackend(make_url(url)), Process(url, "run_1"), Process(url, "run_2")
    await observer.transact(migrate.check_or_create)
    try:
        yield Pair(one, other, observer)
    finally:
        for process in (one, other):
            await process.database.close()
        await observer.close()


@pytest.fixture
async def pair(postgresql: PostgresqlServer) -> AsyncIterator[Pair]:
    async with pair_on(postgresql.create_database(f"locks_{next(_numbers)}")) as opened:
        yield opened


def exchange(conversation_id: str) -> NewExchange:
    return NewExchange(
        conversation_id=conversation_id,
        owner="alice",
        question="?",
        answer="!",
        reasoning=None,
        model="m",
        call_id="c",
        tokens=1,
        reasoning_tokens=0,
        at=AT,
        most=10,
    )


def append(conversation_id: str) -> Write:
    return lambda database: ConversationTables(database).append(exchange(conversation_id))


def settle(copy_id: str) -> Write:
    return lambda database: CopyTables(database).settle(copy_id, f"file_{copy_id}", None, AT)


def condemn(copy_id: str) -> Write:
    return lambda database: CopyTables(database).condemn([copy_id], AT)


def begin(key: str) -> Write:
    return lambda database: IdempotentCallTable(database, ManualClock()).begin(
        IdempotentCallId("alice", key), digest="d", tool="chat", call_id=database.run_id
    )


def prune_keys(database: Database) -> Awaitable[Any]:
    return IdempotentCallTable(database, ManualClock(wall=AT.timestamp())).prune(keep_hours=1)


def prune_calls(database: Database) -> Awaitable[Any]:
    return Journal(database, ManualClock(wall=AT.timestamp())).prune(keep_days=1)


def use(token_id: str) -> Write:
    async def queue(database: Database) -> None:
        IdentityTables(database).used_soon(token_id, None, AT)

    return queue


def revoke(token_id: str) -> Write:
    return lambda database: IdentityTables(database).revoke(token_id, AT)


async def learn(database: Database) -> None:
    CalibrationTable(database).add_soon("m", Calibration(samples=1), AT)


async def test_appends_to_the_same_conversations_in_both_orders(pair: Pair) -> None:
    for conversation_id in "ab":
        await ConversationTables(pair.one.database).begin(exchange(conversation_id))
    await pair.commit_at_once([append("a"), append("b")], [append("b"), append("a")])


async def test_two_groups_of_tables_in_both_orders(pair: Pair) -> None:
    await ConversationTables(pair.one.database).begin(exchange("a"))
    await pair.commit_at_once([append("a"), learn], [learn, append("a")])


async def test_two_operations_of_one_table_on_the_same_rows(pair: Pair) -> None:
    tables = CopyTables(pair.one.database)
    copies = [new_copy(CopyKey(KIMI, "image", "alice", digest), tables.run_id, AT) for digest in "ab"]
    for copy in copies:
        await tables.begin(copy)
    one, two = (copy.copy_id for copy in copies)
    await pair.commit_at_once([settle(one), condemn(two)], [settle(two), condemn(one)])


async def test_idempotent_calls_under_the_same_keys_in_both_orders(pair: Pair) -> None:
    await pair.commit_at_once([begin("a"), begin("b")], [begin("b"), begin("a")])


async def test_begins_and_cleaning_that_want_the_same_rows(pair: Pair) -> None:
    """One deletes the old row `b` and begins `a`; the other has begun `a` and then wants `b`."""
    await begin("b")(pair.one.database)
    await pair.commit_at_once([prune_keys, begin("a")], [begin("a"), begin("b")])


async def test_cleaning_of_two_tables_in_both_orders(pair: Pair) -> None:
    await begin("a")(pair.one.database)
    journal = Journal(pair.one.database, ManualClock())
    await journal.begin(CallBegun("call", Caller.local(Door.STDIO), "chat", None, None))
    journal.end_soon(CallEnd("call", "ok", None, None, None, None, None, None, {}))
    await commit_queued(pair.one.database)
    await pair.commit_at_once([prune_keys, prune_calls], [prune_calls, prune_keys])


async def test_uses_and_revocations_of_the_same_tokens_in_both_orders(pair: Pair) -> None:
    for token_id in "ab":
        token = TokenRow(
            token_id=token_id,
            kind="token",
            name="n",
            subject="alice",
            scopes="",
            access_s=1.0,
            secret_sha256=None,
            created_at=AT - timedelta(days=1),
            expires_at=None,
            access_until=None,
        )
        await IdentityTables(pair.one.database).add(token, None)
    await pair.commit_at_once([use("a"), revoke("b")], [use("b"), revoke("a")])
