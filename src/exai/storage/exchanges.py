"""Rows of conversations and their exchanges."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, insert, select, update

from exai.storage.database import Database
from exai.storage.schema import conversations, exchanges

__all__ = ["ConversationRow", "ExchangeRow", "ExchangeTable", "NewExchange"]


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """What is kept about a conversation as a whole."""

    exchanges: int
    last_model: str


@dataclass(frozen=True, slots=True)
class ExchangeRow:
    """One question and its answer."""

    number: int
    question: str
    answer: str
    reasoning: str | None
    model: str


class NewExchange(msgspec.Struct, frozen=True):
    """An exchange to append."""

    conversation_id: str
    owner: str
    question: str
    answer: str
    reasoning: str | None
    model: str
    call_id: str
    tokens: int
    at: datetime
    most: int
    """How many exchanges the conversation may have."""


class ExchangeTable:
    """Reads and appends; every read and write names the owner."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, conversation_id: str, owner: str) -> ConversationRow | None:
        """The owner's conversation; `None` for an unknown one and for another owner's alike."""
        query = select(conversations.c.exchanges, conversations.c.last_model).where(
            conversations.c.conversation_id == conversation_id, conversations.c.owner == owner
        )
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else ConversationRow(*row)

    async def newest(self, conversation_id: str, budget_tokens: int) -> list[ExchangeRow]:
        """The newest exchanges whose tokens together fit the budget, newest first."""

        def work(connection: Connection) -> list[ExchangeRow]:
            sizes = connection.execute(
                select(exchanges.c.number, exchanges.c.tokens)
                .where(exchanges.c.conversation_id == conversation_id)
                .order_by(exchanges.c.number.desc())
            )
            left, first = budget_tokens, None
            for number, tokens in sizes:
                if tokens > left:
                    break
                left -= tokens
                first = number
            if first is None:
                return []
            rows = connection.execute(
                select(
                    exchanges.c.number,
                    exchanges.c.question,
                    exchanges.c.answer,
                    exchanges.c.reasoning,
                    exchanges.c.model,
                )
                .where(exchanges.c.conversation_id == conversation_id, exchanges.c.number >= first)
                .order_by(exchanges.c.number.desc())
            )
            return [ExchangeRow(*row) for row in rows]

        return await self._database.read(work)

    async def begin(self, exchange: NewExchange) -> None:
        """Create the conversation with its first exchange."""
        await self._database.write(_begin, exchange)

    async def append(self, exchange: NewExchange) -> int | None:
        """The number that the exchange got; `None` when the conversation had none left.

        The number is taken by the update that counts, so two appends never share one.
        """
        return await self._database.write(_append, exchange)


_INSERT_CONVERSATION = insert(conversations)
_INSERT_EXCHANGE = insert(exchanges)
_COUNT = (
    update(conversations)
    .where(
        conversations.c.conversation_id == bindparam("of_conversation"),
        conversations.c.owner == bindparam("of_owner"),
        conversations.c.exchanges < bindparam("most"),
    )
    .values(
        exchanges=conversations.c.exchanges + 1,
        last_model=bindparam("model"),
        updated_at=bindparam("at"),
    )
    .returning(conversations.c.exchanges)
)


def _begin(connection: Connection, many: list[NewExchange]) -> list[None]:
    connection.execute(
        _INSERT_CONVERSATION,
        [
            {
                "conversation_id": each.conversation_id,
                "owner": each.owner,
                "exchanges": 1,
                "last_model": each.model,
                "created_at": each.at,
                "updated_at": each.at,
            }
            for each in many
        ],
    )
    connection.execute(_INSERT_EXCHANGE, [_row(each, 1) for each in many])
    return [None] * len(many)


def _append(connection: Connection, many: list[NewExchange]) -> list[int | None]:
    numbers: list[int | None] = [
        connection.execute(
            _COUNT,
            {
                "of_conversation": each.conversation_id,
                "of_owner": each.owner,
                "most": each.most,
                "model": each.model,
                "at": each.at,
            },
        ).scalar_one_or_none()
        for each in many
    ]
    rows = [_row(each, number) for each, number in zip(many, numbers, strict=True) if number is not None]
    if rows:
        connection.execute(_INSERT_EXCHANGE, rows)
    return numbers


def _row(exchange: NewExchange, number: int) -> dict[str, Any]:
    return {
        "conversation_id": exchange.conversation_id,
        "number": number,
        "question": exchange.question,
        "answer": exchange.answer,
        "reasoning": exchange.reasoning,
        "model": exchange.model,
        "call_id": exchange.call_id,
        "tokens": exchange.tokens,
        "created_at": exchange.at,
    }
