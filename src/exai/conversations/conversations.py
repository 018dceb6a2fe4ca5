"""Conversations: exchanges, stored for their owner and recalled within a token budget.

A handle is an address, not a password: it works only for the caller who began the conversation; for anybody else the
conversation does not exist.
"""

import secrets

import msgspec

from exai.callers import Caller
from exai.conversations.long_texts import estimate_long_text
from exai.errors import ConversationFull, UnknownConversation
from exai.messages import Message, Role
from exai.runtime.clock import Clock
from exai.storage.conversations.tables import (
    GONE,
    ConversationRow,
    ConversationTables,
    Copied,
    NewExchange,
    Summary,
)

__all__ = ["NOTHING_RECALLED", "UNKNOWN", "Conversation", "Conversations", "Recalled", "new_conversation"]

UNKNOWN = (
    "There is no conversation with this continuation_id. "
    "Leave it out to start a new one: call again without continuation_id."
)

TOKENS_PER_EXCHANGE = 16
"""Tokens that the two messages of an exchange take beside their text."""


class Conversation(msgspec.Struct, frozen=True):
    """A conversation at the moment when it was opened."""

    id: str
    exchanges: int
    """0: it will be created with its first exchange."""
    last_model: str | None
    source: str | None = None
    """The conversation of which this one is to be a copy, made with its next exchange."""
    summary_to: int = 0
    """The last exchange that the summary stands for in prompts; 0: there is none."""
    summary_tokens: int = 0
    summary: str = ""


class Recalled(msgspec.Struct, frozen=True):
    """The earlier exchanges that enter a prompt."""

    messages: tuple[Message, ...]
    """Oldest first."""
    included: int
    dropped: int
    """How many exchanges were left out; the oldest are first."""
    tokens: int
    """The estimate for these messages."""


NOTHING_RECALLED = Recalled((), 0, 0, 0)


class Conversations:
    """Opens, recalls and records conversations."""

    def __init__(self, table: ConversationTables, clock: Clock, max_exchanges: int) -> None:
        self._table = table
        self._clock = clock
        self._max_exchanges = max_exchanges

    async def open(self, caller: Caller, conversation_id: str | None, *, fork: bool = False) -> Conversation:
        """Open the caller's conversation of that handle, or a new one for `None`; with `fork`, a copy of it.

        A new one, and a copy, is stored with its next exchange.

        Raises:
            UnknownConversation: no such conversation of this caller.
            ConversationFull: it has no exchange left.
        """
        if conversation_id is None:
            return new_conversation()
        row = await self._table.find(conversation_id, caller.subject)
        if row is None:
            raise UnknownConversation(UNKNOWN)
        if row.exchanges >= self._max_exchanges:
            raise self._full()
        source = conversation_id if fork else None
        return _opened(_new_id() if fork else conversation_id, row, source)

    async def find(self, caller: Caller, conversation_id: str) -> Conversation:
        """Find the caller's conversation of that handle, be it full or not.

        Raises:
            UnknownConversation: no such conversation of this caller.
        """
        row = await self._table.find(conversation_id, caller.subject)
        if row is None:
            raise UnknownConversation(UNKNOWN)
        return _opened(conversation_id, row)

    async def reopen(
        self, caller: Caller, conversation_id: str, *, copy_of: str | None = None
    ) -> Conversation:
        """Open a conversation whose id was given out before; one that has no exchange yet gets its first.

        With `copy_of`, it is made as a copy of that one with its next exchange, unless it is there.

        Raises:
            UnknownConversation: neither it nor what it is to be a copy of is there.
        """
        row = await self._table.find(conversation_id, caller.subject)
        if row is not None:
            return _opened(conversation_id, row)
        if copy_of is None:
            return Conversation(conversation_id, 0, None)
        source = await self._table.find(copy_of, caller.subject)
        if source is None:
            raise UnknownConversation(UNKNOWN)
        return _opened(conversation_id, source, copy_of)

    async def has(self, caller: Caller, conversation_id: str, call_id: str) -> bool:
        """Whether the caller's conversation has an exchange of a call."""
        return await self._table.has(conversation_id, caller.subject, call_id)

    async def recall(
        self, conversation: Conversation, budget_tokens: int, *, reasoning_of: str | None
    ) -> Recalled:
        """Recall the newest whole exchanges that fit `budget_tokens`, as messages, oldest first.

        The reasoning of the model `reasoning_of` is included and counted; that of other models is not.
        """
        if not conversation.exchanges:
            return NOTHING_RECALLED
        summarized = conversation.summary_to if conversation.summary_tokens <= budget_tokens else 0
        beside = conversation.summary_tokens if summarized else 0
        rows = await self._table.newest(
            conversation.source or conversation.id, budget_tokens - beside, reasoning_of, behind=summarized
        )
        messages = _summary_messages(conversation) if summarized else []
        messages += [
            message
            for row in reversed(rows)
            for message in (
                Message(Role.USER, row.question),
                Message(Role.ASSISTANT, row.answer, reasoning=row.reasoning),
            )
        ]
        oldest = rows[-1].number if rows else conversation.exchanges + 1
        tokens = beside + (int(rows[-1].tokens) if rows else 0)
        return Recalled(tuple(messages), len(rows), oldest - 1 - summarized, tokens)

    async def record(
        self,
        conversation: Conversation,
        *,
        caller: Caller,
        question: str,
        answer: str,
        reasoning: str | None,
        model: str,
        call_id: str,
    ) -> int:
        """Append one exchange atomically, and return its number, from 1, once it is committed.

        Raises:
            ConversationFull: other calls used the last exchange meanwhile; nothing was stored.
            UnknownConversation: it was deleted meanwhile; nothing was stored.
            StoreFailed: the database did not confirm it.
        """
        exchange = NewExchange(
            conversation_id=conversation.id,
            owner=caller.subject,
            question=question,
            answer=answer,
            reasoning=reasoning,
            model=model,
            call_id=call_id,
            tokens=await estimate_long_text(question)
            + await estimate_long_text(answer)
            + TOKENS_PER_EXCHANGE,
            reasoning_tokens=await estimate_long_text(reasoning) if reasoning else 0,
            at=self._clock.utc(),
            most=self._max_exchanges,
        )
        if not conversation.exchanges:
            await self._table.begin(exchange)
            return 1
        if conversation.source is not None:
            copied = Copied(
                conversation.source, conversation.id, caller.subject, conversation.exchanges, exchange.at
            )
            await self._table.copy(copied)
        number = await self._table.append(exchange)
        if number is None:
            raise self._full()
        if number == GONE:
            raise UnknownConversation("This conversation was deleted while the model answered.")
        return number

    async def fork(self, caller: Caller, conversation_id: str, up_to: int | None) -> str:
        """Copy the caller's conversation up to an exchange, or whole; return the handle of the copy.

        Raises:
            UnknownConversation: no such conversation of this caller.
            StoreFailed: the database did not confirm it.
        """
        copied = Copied(conversation_id, _new_id(), caller.subject, up_to, self._clock.utc())
        if not await self._table.copy(copied):
            raise UnknownConversation(UNKNOWN)
        return copied.conversation_id

    async def rename(self, caller: Caller, conversation_id: str, title: str) -> None:
        """Give the caller's conversation a title; a blank one takes it away.

        Raises:
            UnknownConversation: no such conversation of this caller.
            StoreFailed: the database did not confirm it.
        """
        if not await self._table.rename(conversation_id, caller.subject, title.strip()):
            raise UnknownConversation(UNKNOWN)

    async def summarize(self, caller: Caller, conversation_id: str, up_to: int, text: str) -> bool:
        """Have a summary stand in prompts for the exchanges up to a number; originals stay.

        Returns whether it was kept: a later one may have been written meanwhile, or the conversation deleted.

        Raises:
            StoreFailed: the database did not confirm it.
        """
        tokens = await estimate_long_text(text) + 2 * TOKENS_PER_EXCHANGE
        return await self._table.summarize(Summary(conversation_id, caller.subject, up_to, tokens, text))

    def _full(self) -> ConversationFull:
        return ConversationFull(
            f"This conversation has used all of its {self._max_exchanges} exchanges; all that was said is kept. "
            "Start a new one: call again without continuation_id, and sum up what matters."
        )


def new_conversation() -> Conversation:
    """Make a conversation that is stored with its first exchange."""
    return Conversation(_new_id(), 0, None)


def _new_id() -> str:
    return f"conv_{secrets.token_urlsafe(18)}"


def _opened(conversation_id: str, row: ConversationRow, source: str | None = None) -> Conversation:
    return Conversation(
        conversation_id,
        row.exchanges,
        row.last_model,
        source,
        row.summary_to,
        row.summary_tokens,
        row.summary,
    )


def _summary_messages(conversation: Conversation) -> list[Message]:
    """Return the summary as an exchange, as every provider takes it."""
    asked = f"Sum up what we said in the first {conversation.summary_to} exchanges of this conversation."
    return [Message(Role.USER, asked), Message(Role.ASSISTANT, conversation.summary)]
