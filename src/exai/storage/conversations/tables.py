"""Rows of conversations and their exchanges."""

from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, case, func, insert, literal, null, select, update

from exai.storage.database import Database
from exai.storage.dialects import ManyRows
from exai.storage.schema import conversations, exchanges
from exai.storage.write_operations import LockGroup, all_at_once, row_by_row, together

__all__ = [
    "GONE",
    "ConversationRow",
    "ConversationTables",
    "Copied",
    "ExchangeRow",
    "NewExchange",
    "Summary",
]


GONE = 0
"""In place of an exchange's number: there is no such conversation any more."""


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """A conversation as a whole."""

    exchanges: int
    last_model: str
    summary_to: int = 0
    """The last exchange that `summary` stands for; 0: there is none."""
    summary_tokens: int = 0
    summary: str = ""


@dataclass(frozen=True, slots=True)
class ExchangeRow:
    """One question and its answer."""

    number: int
    question: str
    answer: str
    reasoning: str | None
    """Of the model that was asked for; `None` for an answer of another one."""
    tokens: int
    """Estimate for this exchange and all newer ones together."""


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
    """Estimate for question and answer."""
    reasoning_tokens: int
    at: datetime
    most: int
    """How many exchanges the conversation may have."""


class Copied(msgspec.Struct, frozen=True):
    """A conversation to be copied."""

    source: str
    conversation_id: str
    """Of the copy."""
    owner: str
    up_to: int | None
    """The last exchange that it has; `None`: all."""
    at: datetime


class Summary(msgspec.Struct, frozen=True):
    """What stands in prompts for the oldest exchanges of a conversation."""

    conversation_id: str
    owner: str
    up_to: int
    """The last exchange that it stands for."""
    tokens: int
    text: str


class ConversationTables:
    """Reads and appends; every write names the owner, and so does the read that opens a conversation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, conversation_id: str, owner: str) -> ConversationRow | None:
        """Find the owner's conversation; `None` for an unknown one and for another owner's alike."""
        parameters = {"of_conversation": conversation_id, "of_owner": owner}
        row = await self._database.read(
            lambda connection: connection.execute(_FIND, parameters).one_or_none()
        )
        return (
            None if row is None else ConversationRow(row[0], row[1], row[2] or 0, row[3] or 0, row[4] or "")
        )

    async def has(self, conversation_id: str, owner: str, call_id: str) -> bool:
        """Whether the owner's conversation has an exchange of a call."""
        parameters = {"of_conversation": conversation_id, "of_owner": owner, "of_call": call_id}
        row = await self._database.read(lambda connection: connection.execute(_HAS, parameters).first())
        return row is not None

    async def newest(
        self, conversation_id: str, budget_tokens: int, reasoning_of: str | None, *, behind: int = 0
    ) -> list[ExchangeRow]:
        """Read the newest exchanges whose tokens together fit the budget, newest first; none up to number `behind`.

        The reasoning of the model `reasoning_of` is read and counted, other models' is not.
        """
        parameters = {
            "of_conversation": conversation_id,
            "budget": budget_tokens,
            "reasoning_of": reasoning_of,
            "behind": behind,
        }
        return await self._database.read(
            lambda connection: [ExchangeRow(*row) for row in connection.execute(_NEWEST, parameters)]
        )

    def begin(self, exchange: NewExchange) -> Coroutine[Any, Any, None]:
        """Create the conversation with its first exchange."""
        return self._database.write(_begin, exchange)

    async def copy(self, copied: Copied) -> bool:
        """Copy the owner's conversation up to an exchange; return whether there is such a one."""
        return await self._database.write(_copy, copied)

    async def rename(self, conversation_id: str, owner: str, title: str) -> bool:
        """Give the owner's conversation a title; return whether there is such a one."""
        return await self._database.write(_rename, (conversation_id, owner, title))

    async def summarize(self, summary: Summary) -> bool:
        """Put a summary in the place of the oldest exchanges, in prompts; return whether it was kept."""
        return await self._database.write(_summarize, summary)

    def append(self, exchange: NewExchange) -> Coroutine[Any, Any, int | None]:
        """Append an exchange and return its number; `None` when the conversation had none left, 0 when it is gone.

        Numbers are given out under the conversation's row lock, so two appends never share one.
        """
        return self._database.write(_append, exchange)


_FIND = select(
    conversations.c.exchanges,
    conversations.c.last_model,
    conversations.c.summary_to,
    conversations.c.summary_tokens,
    conversations.c.summary,
).where(
    conversations.c.conversation_id == bindparam("of_conversation"),
    conversations.c.owner == bindparam("of_owner"),
)

_HAS = (
    select(exchanges.c.number)
    .join(conversations, conversations.c.conversation_id == exchanges.c.conversation_id)
    .where(
        exchanges.c.conversation_id == bindparam("of_conversation"),
        conversations.c.owner == bindparam("of_owner"),
        exchanges.c.call_id == bindparam("of_call"),
    )
)

_is_own = exchanges.c.model == bindparam("reasoning_of")
_sizes = (
    select(
        exchanges.c.number,
        func.sum(exchanges.c.tokens + case((_is_own, exchanges.c.reasoning_tokens), else_=0))
        .over(order_by=exchanges.c.number.desc())
        .label("with_all_newer"),
    )
    .where(exchanges.c.conversation_id == bindparam("of_conversation"))
    .subquery()
)
_NEWEST = (
    select(
        exchanges.c.number,
        exchanges.c.question,
        exchanges.c.answer,
        case((_is_own, exchanges.c.reasoning), else_=null()),
        _sizes.c.with_all_newer,
    )
    .join(_sizes, exchanges.c.number == _sizes.c.number)
    .where(
        exchanges.c.conversation_id == bindparam("of_conversation"),
        _sizes.c.with_all_newer <= bindparam("budget"),
        exchanges.c.number > bindparam("behind"),
    )
    .order_by(exchanges.c.number.desc())
)

_INSERT_CONVERSATION = ManyRows(insert(conversations))
_INSERT_EXCHANGE = ManyRows(insert(exchanges))
_LOCK = (  # in order, see `write_operations`
    select(conversations.c.conversation_id, conversations.c.owner, conversations.c.exchanges)
    .where(conversations.c.conversation_id.in_(bindparam("of_conversations", expanding=True)))
    .order_by(conversations.c.conversation_id)
    .with_for_update()
)
_COUNT = ManyRows(
    update(conversations)
    .where(conversations.c.conversation_id == bindparam("of_conversation"))
    .values(
        exchanges=bindparam("exchanges"),
        last_model=bindparam("last_model"),
        updated_at=bindparam("updated_at"),
    )
)


@all_at_once(LockGroup.CONVERSATIONS)
def _begin(connection: Connection, many: list[NewExchange]) -> None:
    _INSERT_CONVERSATION.execute(
        connection,
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
    _INSERT_EXCHANGE.execute(connection, [_row(each, 1) for each in many])


@together(LockGroup.CONVERSATIONS)
def _append(connection: Connection, many: list[NewExchange]) -> list[int | None]:
    locked = connection.execute(_LOCK, {"of_conversations": list({each.conversation_id for each in many})})
    counts = {(conversation_id, owner): exchanges for conversation_id, owner, exchanges in locked}
    numbers: list[int | None] = []
    newest: dict[str, dict[str, Any]] = {}
    for each in many:
        key = (each.conversation_id, each.owner)
        if key not in counts or counts[key] >= each.most:
            numbers.append(None if key in counts else GONE)
            continue
        counts[key] += 1
        numbers.append(counts[key])
        newest[each.conversation_id] = {
            "of_conversation": each.conversation_id,
            "exchanges": counts[key],
            "last_model": each.model,
            "updated_at": each.at,
        }
    if newest:
        _COUNT.execute(connection, list(newest.values()))
        _INSERT_EXCHANGE.execute(
            connection,
            [_row(each, number) for each, number in zip(many, numbers, strict=True) if number],
        )
    return numbers


def _row(exchange: NewExchange, number: int) -> dict[str, Any]:
    return {
        "conversation_id": exchange.conversation_id,
        "number": number,
        "tokens": exchange.tokens,
        "reasoning_tokens": exchange.reasoning_tokens,
        "model": exchange.model,
        "call_id": exchange.call_id,
        "created_at": exchange.at,
        "question": exchange.question,
        "answer": exchange.answer,
        "reasoning": exchange.reasoning,
    }


@row_by_row(LockGroup.CONVERSATIONS)
def _copy(connection: Connection, copied: Copied) -> bool:
    row = (
        connection.execute(
            select(conversations).where(
                conversations.c.conversation_id == copied.source, conversations.c.owner == copied.owner
            )
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        return False
    last = row["exchanges"] if copied.up_to is None else min(copied.up_to, row["exchanges"])
    values = {**row, "conversation_id": copied.conversation_id, "exchanges": last}
    values |= {"created_at": copied.at, "updated_at": copied.at}
    if (row["summary_to"] or 0) > last:
        values |= {"summary_to": None, "summary_tokens": None, "summary": None}
    columns = [column for column in exchanges.c if column.name != "conversation_id"]
    said = select(literal(copied.conversation_id), *columns).where(
        exchanges.c.conversation_id == copied.source, exchanges.c.number <= last
    )
    connection.execute(insert(conversations).values(values))
    names = ["conversation_id", *(column.name for column in columns)]
    connection.execute(insert(exchanges).from_select(names, said))
    return True


@together(LockGroup.CONVERSATIONS)
def _rename(connection: Connection, many: list[tuple[str, str, str]]) -> list[bool]:
    _lock(connection, [conversation_id for conversation_id, _, _ in many])
    row = conversations.c
    return [
        connection.execute(
            update(conversations)
            .where(row.conversation_id == conversation_id, row.owner == owner)
            .values(title=title or None)
        ).rowcount
        == 1
        for conversation_id, owner, title in many
    ]


@together(LockGroup.CONVERSATIONS)
def _summarize(connection: Connection, many: list[Summary]) -> list[bool]:
    _lock(connection, [each.conversation_id for each in many])
    row = conversations.c
    return [
        connection.execute(
            update(conversations)
            .where(
                row.conversation_id == each.conversation_id,
                row.owner == each.owner,
                row.exchanges >= each.up_to,
                func.coalesce(row.summary_to, 0) < each.up_to,
            )
            .values(summary_to=each.up_to, summary_tokens=each.tokens, summary=each.text)
        ).rowcount
        == 1
        for each in many
    ]


def _lock(connection: Connection, ids: list[str]) -> None:
    connection.execute(_LOCK, {"of_conversations": list(set(ids))})
