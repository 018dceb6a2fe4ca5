"""Conversations and answers as their owner reads them; another owner's are as if they were not there."""

from datetime import datetime

import msgspec
from sqlalchemy import func, select

from exai.storage.database import Database
from exai.storage.pages import page_of
from exai.storage.schema import calls, conversations, exchanges

__all__ = ["OwnConversation", "OwnConversations", "OwnExchange"]

TITLE_CHARACTERS = 200


class OwnConversation(msgspec.Struct, frozen=True):
    """A conversation in a list."""

    conversation_id: str
    exchanges: int
    last_model: str
    created_at: datetime
    updated_at: datetime
    begins: str
    """The beginning of its first question."""


class OwnExchange(msgspec.Struct, frozen=True):
    """A question and its answer."""

    number: int
    model: str
    call_id: str
    created_at: datetime
    question: str
    answer: str


class OwnConversations:
    """Lists and reads what one owner asked and was answered."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self, owner: str, most: int, after: str | None = None) -> list[OwnConversation]:
        """List conversations, the one that was begun last first, behind the one with the id `after`.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = page_of(_CONVERSATIONS, conversations, conversations.c.conversation_id, owner, most, after)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [OwnConversation(*row) for row in rows]

    async def find(self, owner: str, conversation_id: str) -> OwnConversation | None:
        """Find a conversation.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = conversations.c
        query = _CONVERSATIONS.where(row.owner == owner, row.conversation_id == conversation_id)
        found = await self._database.read(lambda connection: connection.execute(query).first())
        return None if found is None else OwnConversation(*found)

    async def latest_exchanges(self, conversation: OwnConversation, characters: int) -> list[OwnExchange]:
        """Read the latest exchanges of a conversation that have so many characters together, and the last in any case.

        They come in the order in which they were made.

        Raises:
            StoreFailed: the database is out of reach.
        """
        length = func.length(exchanges.c.question) + func.length(exchanges.c.answer)
        together = func.sum(length).over(order_by=exchanges.c.number.desc())
        sized = (
            select(exchanges.c.number, together.label("together"))
            .where(exchanges.c.conversation_id == conversation.conversation_id)
            .subquery()
        )
        query = (
            select(*_EXCHANGE)
            .join(sized, sized.c.number == exchanges.c.number)
            .where(
                exchanges.c.conversation_id == conversation.conversation_id,
                (sized.c.together <= characters) | (exchanges.c.number == conversation.exchanges),
            )
            .order_by(exchanges.c.number)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [OwnExchange(*row) for row in rows]

    async def answer_of(self, owner: str, call_id: str) -> tuple[str, OwnExchange] | None:
        """Find the exchange that a call made, with the id of its conversation.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = (
            select(calls.c.conversation_id, *_EXCHANGE)
            .join(
                exchanges,
                (exchanges.c.conversation_id == calls.c.conversation_id)
                & (exchanges.c.call_id == calls.c.call_id),
            )
            .where(calls.c.call_id == call_id, calls.c.owner == owner)
        )
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else (row[0], OwnExchange(*row[1:]))


_CONVERSATIONS = select(
    conversations.c.conversation_id,
    conversations.c.exchanges,
    conversations.c.last_model,
    conversations.c.created_at,
    conversations.c.updated_at,
    func.coalesce(
        select(func.substr(exchanges.c.question, 1, TITLE_CHARACTERS))
        .where(exchanges.c.conversation_id == conversations.c.conversation_id, exchanges.c.number == 1)
        .scalar_subquery(),
        "",
    ),
)
_EXCHANGE = tuple(exchanges.c[name] for name in OwnExchange.__struct_fields__)
