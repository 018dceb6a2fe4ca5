"""Conversations listed, exported and deleted, by ID, owner and age; what a call is using stays."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from exai.callers import Caller, Door
from exai.conversations.conversations import Conversations
from exai.runtime.clock import ManualClock
from exai.storage.calls.idempotent_calls import IdempotentCallId, IdempotentCallTable
from exai.storage.calls.journal import CallBegun, CallEnd, Journal
from exai.storage.conversations import archive as archive_module
from exai.storage.conversations.archive import ConversationArchive, Selection
from exai.storage.conversations.tables import ConversationTables
from exai.storage.database import Database
from exai.storage.schema import exchanges
from support.queued_writes import commit_queued

DAY_S = 86_400.0


class Shelf:
    """A database with conversations of some callers."""

    def __init__(self, database: Database) -> None:
        self.clock = ManualClock()
        self.database = database
        self.archive = ConversationArchive(database, self.clock)
        self.journal = Journal(database, self.clock)
        self.keys = IdempotentCallTable(database, self.clock)
        self._conversations = Conversations(ConversationTables(database), self.clock, 50)

    async def say(self, owner: str, handle: str | None = None, *, call_id: str = "call") -> str:
        caller = Caller(subject=owner, door=Door.HTTP)
        conversation = await self._conversations.open(caller, handle)
        await self._conversations.record(
            conversation,
            caller=caller,
            question=f"asked by {owner}",
            answer="answer",
            reasoning="thought",
            model="glm-5.3",
            call_id=call_id,
        )
        return conversation.id

    async def handles(self, selection: Selection | None = None) -> list[str]:
        return [row.conversation_id for row in await self.archive.listing(selection or Selection())]

    async def exchange_count(self) -> int:
        query = select(func.count()).select_from(exchanges)
        return await self.database.read(lambda connection: connection.scalar(query) or 0)


async def test_conversations_are_listed_by_their_last_use_and_exported_whole(database: Database) -> None:
    shelf = Shelf(database)
    first, second = await shelf.say("alice"), await shelf.say("bob")
    shelf.clock.advance(60)
    await shelf.say("alice", first)
    assert await shelf.handles() == [first, second]
    assert await shelf.handles(Selection(owner="bob")) == [second]
    (row,) = await shelf.archive.listing(Selection(), most=1)
    assert (row.owner, row.exchanges, row.last_model) == ("alice", 2, "glm-5.3")
    assert row.updated_at - row.created_at == timedelta(seconds=60)
    said = await shelf.archive.exchanges(first)
    assert [(each.number, each.question, each.answer, each.reasoning) for each in said] == [
        (1, "asked by alice", "answer", "thought"),
        (2, "asked by alice", "answer", "thought"),
    ]


async def test_what_was_not_used_for_so_long_is_deleted_with_all_that_was_said(database: Database) -> None:
    shelf = Shelf(database)
    old, used = await shelf.say("alice"), await shelf.say("alice")
    shelf.clock.advance(364 * DAY_S)
    await shelf.say("alice", used)
    shelf.clock.advance(2 * DAY_S)
    assert await shelf.archive.prune(0) == 0
    assert await shelf.archive.prune(365) == 1
    assert await shelf.handles() == [used]
    assert await shelf.archive.exchanges(old) == []
    assert await shelf.exchange_count() == 2


async def test_only_what_is_selected_is_deleted(database: Database) -> None:
    shelf = Shelf(database)
    first, second, others = await shelf.say("alice"), await shelf.say("alice"), await shelf.say("bob")
    assert await shelf.archive.delete(Selection(ids=(first, others), owner="alice")) == 1
    assert sorted(await shelf.handles()) == sorted([second, others])
    assert await shelf.archive.delete(Selection(owner="alice")) == 1
    assert await shelf.handles() == [others]


async def test_a_conversation_with_a_call_under_way_stays_until_it_has_ended(database: Database) -> None:
    shelf = Shelf(database)
    handle = await shelf.say("alice")
    caller = Caller(subject="alice", door=Door.HTTP)
    await shelf.journal.begin(CallBegun("running", caller, "chat", None, handle))
    assert await shelf.archive.delete(Selection(owner="alice")) == 0
    shelf.journal.end_soon(CallEnd("running", "ok", None, None, None, handle, None, None, {}))
    await commit_queued(database)
    assert await shelf.archive.delete(Selection(owner="alice")) == 1


async def test_a_kept_result_goes_with_its_conversation_and_its_key_stays_used(database: Database) -> None:
    shelf = Shelf(database)
    for owner, call_id in (("alice", "call_a"), ("bob", "call_b")):
        await shelf.say(owner, call_id=call_id)
        key = IdempotentCallId(owner, "key")
        await shelf.keys.begin(key, digest="digest", tool="chat", call_id=call_id)
        await shelf.keys.end(key, call_id=call_id, result="the answer")
    await shelf.archive.delete(Selection(owner="alice"))
    kept = [await shelf.keys.find(IdempotentCallId(owner, "key")) for owner in ("alice", "bob")]
    assert [row and (row.ended, row.result) for row in kept] == [(True, None), (True, "the answer")]


async def test_many_are_deleted_in_several_transactions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "BATCH", 2)
    shelf = Shelf(database)
    for _ in range(5):
        await shelf.say("alice")
    assert await shelf.archive.delete(Selection(owner="alice")) == 5
    assert await shelf.exchange_count() == 0
