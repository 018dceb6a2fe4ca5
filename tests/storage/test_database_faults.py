"""What a database can do to us while we run, and what callers and the log hear of it."""

import asyncio
import io
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from exai import config
from exai.callers import Caller, Door
from exai.conversations.conversations import Conversations
from exai.errors import StoreFailed
from exai.monitoring import logs
from exai.runtime.clock import SystemClock
from exai.storage import sqlite
from exai.storage.calls.journal import CallBegun, CallEnd, Journal
from exai.storage.conversations.tables import ConversationTables
from exai.storage.database import Database
from exai.storage.write_operations import LockGroup, row_by_row
from support.postgresql_server import PostgresqlServer
from support.waiting import wait_until

ALICE = Caller(subject="alice", door=Door.WEBSOCKET, client="a client")


def statement(sql: str) -> Any:
    """An operation that runs one statement, whatever its parameters."""

    @row_by_row(LockGroup.CALLS)
    def operation(connection: Connection, _parameters: None) -> None:
        connection.execute(text(sql))

    return operation


async def say(conversations: Conversations, question: str) -> str:
    conversation = await conversations.open(ALICE, None)
    await conversations.record(
        conversation,
        caller=ALICE,
        question=question,
        answer="answer",
        reasoning=None,
        model="glm-5.3",
        call_id="call",
    )
    return conversation.id


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.configure(config.Logging(level="debug", format="json"), stream=stream)
    yield stream
    logs.configure(config.Logging(level="error", format="json"))


async def test_a_full_disk_fails_the_write_and_reading_goes_on(tmp_path: Path) -> None:
    database = await Database.open(config.Database(), tmp_path)
    conversations = Conversations(ConversationTables(database), SystemClock(), 50)
    handle = await say(conversations, "kept")
    await database.write(statement("PRAGMA max_page_count = 1"), None)  # no page more than there are
    with pytest.raises(StoreFailed):
        await say(conversations, "much too much " * 100_000)
    recalled = await conversations.recall(await conversations.open(ALICE, handle), 1000, reasoning_of=None)
    assert recalled.messages[0].text == "kept"
    await database.write(statement("PRAGMA max_page_count = 1000000"), None)
    await say(conversations, "much again " * 100_000)
    await database.close()


async def test_a_file_locked_by_another_process_fails_all_waiting_writes_after_one_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 100)
    database = await Database.open(config.Database(), tmp_path)
    conversations = Conversations(ConversationTables(database), SystemClock(), 50)
    other = sqlite3.connect(tmp_path / sqlite.FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    outcomes = await asyncio.gather(
        *(say(conversations, f"q{number}") for number in range(10)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [StoreFailed] * 10
    other.execute("ROLLBACK")
    other.close()
    await say(conversations, "later")
    await database.close()


async def test_a_call_that_ends_while_the_file_is_locked_has_its_end_once_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 100)
    database = await Database.open(config.Database(), tmp_path)
    journal = Journal(database, SystemClock())
    await journal.begin(CallBegun("call", Caller(subject="alice", door=Door.HTTP), "chat", None, None))
    other = sqlite3.connect(tmp_path / sqlite.FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    journal.end_soon(CallEnd("call", "ok", None, None, None, None, None, None, {}))
    await wait_until(lambda: database.pending_durable_writes == 1, what="the end waits for the file")
    other.execute("ROLLBACK")
    other.close()
    await database.write(statement("SELECT 1"), None)
    await database.close()
    database = await Database.open(config.Database(), tmp_path)
    outcome = text("SELECT outcome FROM calls")
    assert await database.read(lambda connection: connection.execute(outcome).scalars().all()) == ["ok"]
    assert database.dropped_writes == 0
    await database.close()


async def test_connections_that_the_server_cut_are_replaced(
    postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    settings = config.Database.model_validate({"url": postgresql.create_database("cut")})
    database = await Database.open(settings, tmp_path)
    conversations = Conversations(ConversationTables(database), SystemClock(), 50)
    await say(conversations, "before")
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'cut' AND pid != pg_backend_pid()"
    await database.read(lambda connection: connection.execute(text(cut)).all())
    for number in range(20):
        await say(conversations, f"after {number}")
    await database.close()


async def test_a_write_that_fails_leaves_nothing_of_what_was_said_in_the_log(
    database: Database, log: io.StringIO
) -> None:
    await database.write(statement("DROP TABLE exchanges"), None)
    with pytest.raises(StoreFailed) as caught:
        await say(Conversations(ConversationTables(database), SystemClock(), 50), "CANARY")
    assert "the database failed" in log.getvalue()
    assert "exchanges" in log.getvalue()
    assert "CANARY" not in log.getvalue() + str(caught.value)


async def test_an_end_after_the_database_is_closed_raises_nothing(
    database_settings: config.Database, tmp_path: Path
) -> None:
    database = await Database.open(database_settings, tmp_path)
    await database.close()
    Journal(database, SystemClock()).end_soon(
        CallEnd("late", "ok", None, None, None, None, None, None, {"latency_ms": 1.0})
    )


async def test_a_read_that_fails_or_is_given_up_costs_no_other(database: Database) -> None:
    def broken(connection: Connection) -> Any:
        return connection.execute(text("SELECT nothing FROM nowhere"))

    def whole(connection: Connection) -> Any:
        return connection.execute(text("SELECT 7")).scalar()

    loop = asyncio.get_running_loop()
    first = loop.create_task(database.read(whole))
    await asyncio.sleep(0)
    given_up = loop.create_task(database.read(whole))
    await asyncio.sleep(0)
    given_up.cancel()
    asked = [first, database.read(broken), database.read(whole), database.read(whole)]
    answers: list[Any] = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(answers.pop(1), StoreFailed)
    assert answers == [7, 7, 7]
    assert given_up.cancelled()


@pytest.mark.parametrize("odd", ["a\0b", "a\ud800b", "\U0001f600 a\0\udfffb"])
async def test_text_that_a_database_cannot_keep_fails_no_call(database: Database, odd: str) -> None:
    conversations = Conversations(ConversationTables(database), SystemClock(), 50)
    handle = await say(conversations, odd)
    recalled = await conversations.recall(await conversations.open(ALICE, handle), 1000, reasoning_of=None)
    kept = recalled.messages[0].text
    assert (kept[0], kept[-1]) == (odd[0], "b")
    assert "\0" not in kept
    caller = Caller(subject="alice", door=Door.HTTP, client=odd)
    await Journal(database, SystemClock()).begin(CallBegun("call", caller, "chat", odd, odd))
