"""Copies of conversations, their titles, summaries that stand in prompts, and what is found in them."""

import pytest

from exai.callers import Caller, Door
from exai.conversations.conversations import Conversation, Conversations
from exai.errors import UnknownConversation
from exai.runtime.clock import SystemClock
from exai.storage.conversations.archive import ConversationArchive, Selection
from exai.storage.conversations.tables import ConversationTables
from exai.storage.database import Database

ALICE = Caller(subject="alice", door=Door.WEBSOCKET)
BOB = Caller(subject="bob", door=Door.HTTP)
PLENTY = 1_000_000


@pytest.fixture
def conversations(database: Database) -> Conversations:
    return Conversations(ConversationTables(database), SystemClock(), max_exchanges=100)


@pytest.fixture
def archive(database: Database) -> ConversationArchive:
    return ConversationArchive(database, SystemClock())


async def say(conversations: Conversations, conversation: Conversation, question: str) -> None:
    await conversations.record(
        conversation,
        caller=ALICE,
        question=question,
        answer=f"answer to {question}",
        reasoning=None,
        model="glm-5.3",
        call_id="call",
    )


async def begun(conversations: Conversations, *questions: str) -> str:
    conversation = await conversations.open(ALICE, None)
    for question in questions:
        await say(conversations, conversation, question)
        conversation = await conversations.open(ALICE, conversation.id)
    return conversation.id


async def recalled(
    conversations: Conversations, conversation: Conversation, budget: int = PLENTY
) -> list[str]:
    found = await conversations.recall(conversation, budget, reasoning_of=None)
    return [message.text for message in found.messages]


async def test_a_copy_goes_on_by_itself(conversations: Conversations) -> None:
    handle = await begun(conversations, "one", "two", "three")
    copy = await conversations.fork(ALICE, handle, 2)
    assert copy != handle
    await say(conversations, await conversations.open(ALICE, copy), "other")
    assert (await recalled(conversations, await conversations.open(ALICE, copy)))[::2] == [
        "one",
        "two",
        "other",
    ]
    assert (await recalled(conversations, await conversations.open(ALICE, handle)))[::2] == [
        "one",
        "two",
        "three",
    ]
    with pytest.raises(UnknownConversation):
        await conversations.fork(BOB, handle, None)
    with pytest.raises(UnknownConversation):
        await conversations.open(BOB, copy)


async def test_a_call_that_forks_makes_its_copy_with_its_exchange(
    conversations: Conversations, archive: ConversationArchive
) -> None:
    handle = await begun(conversations, "one")
    forked = await conversations.open(ALICE, handle, fork=True)
    assert await recalled(conversations, forked) == ["one", "answer to one"]
    assert await archive.count(Selection()) == 1, "a call that fails leaves nothing"
    await say(conversations, forked, "two")
    assert (await recalled(conversations, await conversations.open(ALICE, forked.id)))[::2] == ["one", "two"]
    assert (await conversations.open(ALICE, handle)).exchanges == 1


async def test_a_summary_stands_for_the_oldest_exchanges(conversations: Conversations) -> None:
    handle = await begun(conversations, "one", "two", "three")
    assert await conversations.summarize(ALICE, handle, 2, "They spoke of one and two.")
    assert not await conversations.summarize(ALICE, handle, 1, "older"), "a later one is there"
    assert not await conversations.summarize(BOB, handle, 3, "foreign")
    assert not await conversations.summarize(ALICE, handle, 9, "of nothing")
    conversation = await conversations.open(ALICE, handle)
    found = await conversations.recall(conversation, PLENTY, reasoning_of=None)
    assert [message.text for message in found.messages] == [
        "Sum up what we said in the first 2 exchanges of this conversation.",
        "They spoke of one and two.",
        "three",
        "answer to three",
    ]
    assert (found.included, found.dropped) == (1, 0)
    assert found.tokens > conversation.summary_tokens
    await say(conversations, conversation, "four")
    conversation = await conversations.open(ALICE, handle)
    alone = await conversations.recall(conversation, conversation.summary_tokens, reasoning_of=None)
    assert (len(alone.messages), alone.included, alone.dropped) == (2, 0, 2)
    none = await conversations.recall(conversation, conversation.summary_tokens - 1, reasoning_of=None)
    assert none.included + none.dropped == 4


async def test_a_copy_of_less_than_the_summary_has_none(conversations: Conversations) -> None:
    handle = await begun(conversations, "one", "two", "three")
    await conversations.summarize(ALICE, handle, 2, "One and two.")
    less = await conversations.open(ALICE, await conversations.fork(ALICE, handle, 1))
    assert await recalled(conversations, less) == ["one", "answer to one"]
    same = await conversations.open(ALICE, await conversations.fork(ALICE, handle, None))
    assert (await recalled(conversations, same))[1:3] == ["One and two.", "three"]


async def test_titles_are_the_owners_to_give(
    conversations: Conversations, archive: ConversationArchive
) -> None:
    handle = await begun(conversations, "one")
    await conversations.rename(ALICE, handle, " Herons ")
    assert [row.title for row in await archive.listing(Selection())] == ["Herons"]
    with pytest.raises(UnknownConversation):
        await conversations.rename(BOB, handle, "Mine")
    await conversations.rename(ALICE, handle, "")
    assert [row.title for row in await archive.listing(Selection())] == [None]


async def test_what_was_said_is_found_by_its_owner(
    conversations: Conversations, archive: ConversationArchive
) -> None:
    handle = await begun(conversations, "Where do herons nest?", "And 100% of owls_of_prey?", "Über Störche")
    found = await archive.search("HERONS nest", owner="alice", most=9)
    assert [(each.conversation_id, each.number) for each in found] == [(handle, 1)]
    assert "Where do herons nest?" in found[0].excerpt
    assert [each.number for each in await archive.search("100% owls_of", owner="alice", most=9)] == [2]
    assert await archive.search("100_", owner="alice", most=9) == [], "wildcards mean themselves"
    assert [each.number for each in await archive.search("Störche", owner=None, most=9)] == [3]
    assert await archive.search("herons owls", owner="alice", most=9) == []
    assert await archive.search("herons", owner="bob", most=9) == []
    assert await archive.search("  ", owner=None, most=9) == []
    await conversations.rename(ALICE, handle, "Birds")
    assert len(await archive.search("birds", owner="alice", most=2)) == 2
