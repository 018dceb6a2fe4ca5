"""Conversations: owned, appended atomically, recalled newest first under a budget."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from exai import config
from exai.callers import Caller, Door
from exai.conversations.conversations import Conversation, Conversations
from exai.conversations.estimates import estimate_tokens
from exai.errors import ConversationFull, UnknownConversation
from exai.messages import Role
from exai.runtime.clock import SystemClock
from exai.storage.conversations.tables import ConversationTables
from exai.storage.database import Database
from exai.storage.schema import exchanges

ALICE = Caller(subject="alice", door=Door.WEBSOCKET)
BOB = Caller(subject="bob", door=Door.HTTP)


@pytest.fixture
def conversations(database: Database) -> Conversations:
    return Conversations(ConversationTables(database), SystemClock(), max_exchanges=100)


async def say(
    conversations: Conversations, conversation: Conversation, question: str, caller: Caller = ALICE
) -> int:
    return await conversations.record(
        conversation,
        caller=caller,
        question=question,
        answer=f"answer to {question}",
        reasoning=None,
        model="glm-5.3",
        call_id="call",
    )


async def started(conversations: Conversations, *questions: str) -> str:
    conversation = await conversations.open(ALICE, None)
    for question in questions:
        await say(conversations, conversation, question)
        conversation = await conversations.open(ALICE, conversation.id)
    return conversation.id


async def test_what_was_said_is_recalled_in_order(conversations: Conversations) -> None:
    handle = await started(conversations, "one", "two")
    conversation = await conversations.open(ALICE, handle)
    assert (conversation.exchanges, conversation.last_model) == (2, "glm-5.3")
    recalled = await conversations.recall(conversation, 10_000, reasoning_of="glm-5.3")
    assert [(message.role, message.text) for message in recalled.messages] == [
        (Role.USER, "one"),
        (Role.ASSISTANT, "answer to one"),
        (Role.USER, "two"),
        (Role.ASSISTANT, "answer to two"),
    ]
    assert (recalled.included, recalled.dropped) == (2, 0)


async def test_a_new_conversation_leaves_nothing_before_its_first_exchange(
    conversations: Conversations,
) -> None:
    conversation = await conversations.open(ALICE, None)
    assert (await conversations.recall(conversation, 1000, reasoning_of="glm-5.3")).messages == ()
    with pytest.raises(UnknownConversation):
        await conversations.open(ALICE, conversation.id)


async def test_a_foreign_handle_answers_exactly_like_an_unknown_one(conversations: Conversations) -> None:
    handle = await started(conversations, "one")
    with pytest.raises(UnknownConversation) as foreign:
        await conversations.open(BOB, handle)
    with pytest.raises(UnknownConversation) as unknown:
        await conversations.open(BOB, "conv_unknown")
    assert str(foreign.value) == str(unknown.value)


async def test_a_foreign_append_adds_nothing(conversations: Conversations) -> None:
    handle = await started(conversations, "one")
    stolen = Conversation(handle, 1, None)
    with pytest.raises(UnknownConversation):
        await say(conversations, stolen, "two", caller=BOB)
    assert (await conversations.open(ALICE, handle)).exchanges == 1


async def test_a_hundred_parallel_appends_lose_none(conversations: Conversations) -> None:
    handle = await started(conversations, "first")
    conversation = await conversations.open(ALICE, handle)
    numbers = await asyncio.gather(*(say(conversations, conversation, f"q{number}") for number in range(99)))
    assert sorted(numbers) == list(range(2, 101))
    with pytest.raises(ConversationFull):
        await conversations.open(ALICE, handle)
    recalled = await conversations.recall(Conversation(handle, 100, None), 1_000_000, reasoning_of="glm-5.3")
    questions = {message.text for message in recalled.messages if message.role is Role.USER}
    assert questions == {"first", *(f"q{number}" for number in range(99))}


async def test_only_one_call_gets_the_last_exchange(database: Database) -> None:
    conversations = Conversations(ConversationTables(database), SystemClock(), max_exchanges=2)
    handle = await started(conversations, "first")
    conversation = await conversations.open(ALICE, handle)
    outcomes = await asyncio.gather(
        *(say(conversations, conversation, f"q{number}") for number in range(10)), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ConversationFull"] * 9 + ["int"]
    recalled = await conversations.recall(Conversation(handle, 2, None), 10_000, reasoning_of="glm-5.3")
    assert recalled.included == 2


async def test_the_budget_keeps_the_newest_whole_exchanges(conversations: Conversations) -> None:
    questions = [f"question {number} " + "word " * 100 for number in range(10)]
    handle = await started(conversations, *questions)
    conversation = await conversations.open(ALICE, handle)
    one = 2 * estimate_tokens(questions[0]) + 40
    recalled = await conversations.recall(conversation, 3 * one, reasoning_of="glm-5.3")
    assert (recalled.included, recalled.dropped) == (3, 7)
    assert [message.text[:10] for message in recalled.messages if message.role is Role.USER] == [
        "question 7",
        "question 8",
        "question 9",
    ]
    nothing = await conversations.recall(conversation, 5, reasoning_of="glm-5.3")
    assert (nothing.messages, nothing.included, nothing.dropped) == ((), 0, 10)


async def test_conversations_outlive_the_process_that_kept_them(
    database_settings: config.Database, tmp_path: Path
) -> None:
    database = await Database.open(database_settings, tmp_path)
    handle = await started(
        Conversations(ConversationTables(database), SystemClock(), 50), "remember Bergamot"
    )
    await database.close()
    database = await Database.open(database_settings, tmp_path)
    conversations = Conversations(ConversationTables(database), SystemClock(), 50)
    recalled = await conversations.recall(
        await conversations.open(ALICE, handle), 1000, reasoning_of="glm-5.3"
    )
    assert recalled.messages[0].text == "remember Bergamot"
    await database.close()


async def test_reasoning_goes_back_to_the_model_whose_it_is(conversations: Conversations) -> None:
    conversation = await conversations.open(ALICE, None)
    await conversations.record(
        conversation,
        caller=ALICE,
        question="why",
        answer="because",
        reasoning="hm",
        model="kimi-k3",
        call_id="call",
    )
    conversation = await conversations.open(ALICE, conversation.id)
    own = await conversations.recall(conversation, 1000, reasoning_of="kimi-k3")
    other = await conversations.recall(conversation, 1000, reasoning_of="glm-5.3")
    assert own.messages[1].reasoning == "hm"
    assert other.messages[1].reasoning is None


async def test_reasoning_counts_against_the_budget_where_it_goes_back(conversations: Conversations) -> None:
    conversation = await conversations.open(ALICE, None)
    for _ in range(4):
        await conversations.record(
            conversation,
            caller=ALICE,
            question="why",
            answer="because",
            reasoning="think " * 1000,
            model="kimi-k3",
            call_id="call",
        )
        conversation = await conversations.open(ALICE, conversation.id)
    budget = 2 * estimate_tokens("think " * 1000) + 200
    own = await conversations.recall(conversation, budget, reasoning_of="kimi-k3")
    assert (own.included, own.dropped) == (2, 2)
    for without in (None, "glm-5.3"):
        other = await conversations.recall(conversation, budget, reasoning_of=without)
        assert (other.included, other.dropped) == (4, 0)
        assert not any(message.reasoning for message in other.messages)


async def test_each_turn_adds_its_own_exchange_and_nothing_else(
    conversations: Conversations, database: Database
) -> None:
    turn = "one turn's question " * 20
    conversation = await conversations.open(ALICE, None)
    sizes = []
    for _ in range(20):
        recalled = await conversations.recall(conversation, 1_000_000, reasoning_of=None)
        sizes.append(sum(len(message.text) for message in recalled.messages))
        await say(conversations, conversation, turn)
        conversation = await conversations.open(ALICE, conversation.id)
    one = 2 * len(turn) + len("answer to ")
    assert sizes == [number * one for number in range(20)]

    def kept(connection: Connection) -> int | None:
        length = func.length(exchanges.c.question + exchanges.c.answer)
        total: int | None = connection.scalar(select(func.sum(length)))
        return total

    assert await database.read(kept) == 20 * one


async def test_appends_of_several_conversations_and_owners_share_a_commit_and_stay_apart(
    database: Database,
) -> None:
    conversations = Conversations(ConversationTables(database), SystemClock(), max_exchanges=5)
    handles = [await started(conversations, f"first of {number}") for number in range(4)]
    opened = [await conversations.open(ALICE, handle) for handle in handles]
    writes = [
        say(conversations, conversation, f"q{number}", caller)
        for number in range(4)
        for conversation in opened
        for caller in (ALICE, BOB)
    ]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [int, UnknownConversation] * 16
    for index, handle in enumerate(handles):
        assert set(outcomes[index * 2 :: 8]) == {2, 3, 4, 5}
        recalled = await conversations.recall(Conversation(handle, 5, None), 10_000, reasoning_of=None)
        assert recalled.messages[0].text == f"first of {index}"
        assert {message.text for message in recalled.messages[2::2]} == {"q0", "q1", "q2", "q3"}
