"""Conversations: exchanges, stored for their owner and recalled within a token budget.

A handle is an address, not a password: it works only for the caller who began the conversation; for anybody else the
conversation does not exist.
"""

import secrets

import msgspec

from exai.callers import Caller
from exai.conversations.estimates import estimate_long_text
from exai.errors import ConversationFull, UnknownConversation
from exai.messages import Message, Role
from exai.runtime.clock import Clock
from exai.storage.conversations.tables import GONE, ConversationTables, NewExchange

__all__ = ["Conversation", "Conversations", "Recalled"]

TOKENS_PER_EXCHANGE = 16
"""Tokens that the two messages of an exchange take beside their text."""


class Conversation(msgspec.Struct, frozen=True):
    """A conversation at the moment when it was opened."""

    id: str
    exchanges: int
    """0: it will be created with its first exchange."""
    last_model: str | None


class Recalled(msgspec.Struct, frozen=True):
    """The earlier exchanges that enter a prompt."""

    messages: tuple[Message, ...]
    """Oldest first."""
    included: int
    dropped: int
    """How many exchanges were left out; the oldest are first."""
    tokens: int
    """The estimate for these messages."""


class Conversations:
    """Opens, recalls and records conversations."""

    def __init__(self, table: ConversationTables, clock: Clock, max_exchanges: int) -> None:
        self._table = table
        self._clock = clock
        self._max_exchanges = max_exchanges

    async def open(self, caller: Caller, conversation_id: str | None) -> Conversation:
        """Open the caller's conversation of that handle, or a new one for `None`.

        A new one is stored with its first exchange.

        Raises:
            UnknownConversation: no such conversation of this caller.
            ConversationFull: it has no exchange left.
        """
        if conversation_id is None:
            return Conversation(f"conv_{secrets.token_urlsafe(18)}", 0, None)
        row = await self._table.find(conversation_id, caller.subject)
        if row is None:
            raise UnknownConversation(
                "There is no conversation with this continuation_id. "
                "Leave it out to start a new one: call again without continuation_id."
            )
        if row.exchanges >= self._max_exchanges:
            raise self._full()
        return Conversation(conversation_id, row.exchanges, row.last_model)

    async def reopen(self, caller: Caller, conversation_id: str) -> Conversation:
        """Open a conversation whose id was given out before; one that has no exchange yet gets its first."""
        row = await self._table.find(conversation_id, caller.subject)
        return (
            Conversation(conversation_id, 0, None)
            if row is None
            else Conversation(conversation_id, row.exchanges, row.last_model)
        )

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
            return Recalled((), 0, 0, 0)
        rows = await self._table.newest(conversation.id, budget_tokens, reasoning_of)
        messages = [
            message
            for row in reversed(rows)
            for message in (
                Message(Role.USER, row.question),
                Message(Role.ASSISTANT, row.answer, reasoning=row.reasoning),
            )
        ]
        newest = rows[0].number if rows else conversation.exchanges
        tokens = int(rows[-1].tokens) if rows else 0
        return Recalled(tuple(messages), len(rows), newest - len(rows), tokens)

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
            reasoning_tokens=await estimate_long_text(reasoning or ""),
            at=self._clock.utc(),
            most=self._max_exchanges,
        )
        if not conversation.exchanges:
            await self._table.begin(exchange)
            return 1
        number = await self._table.append(exchange)
        if number is None:
            raise self._full()
        if number == GONE:
            raise UnknownConversation("This conversation was deleted while the model answered.")
        return number

    def _full(self) -> ConversationFull:
        return ConversationFull(
            f"This conversation has used all of its {self._max_exchanges} exchanges; all that was said is kept. "
            "Start a new one: call again without continuation_id, and sum up what matters."
        )
