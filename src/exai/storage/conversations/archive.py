"""Conversations as whoever runs EXAI handles them: listed, exported and deleted, whosever they are.

A conversation with a call under way is never deleted: its exchange would have nowhere to go. Results that are kept
under idempotency keys hold the same answers, so they go with it; the keys stay used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, func, or_, select, tuple_, update

from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.storage.schema import calls, conversations, exchanges, idempotent_calls
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["ConversationArchive", "ConversationSummary", "ExportedExchange", "FoundExchange", "Selection"]

MOST_WORDS = 16
"""Of a search; those behind them are not looked for."""
AROUND = 80
"""Characters that are shown on either side of a word that was found."""

BATCH = 200
"""Conversations of one transaction, so that writes of calls get their turn in between."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which conversations: those to which all that is given applies."""

    ids: tuple[str, ...] | None = None
    owner: str | None = None
    unused_since: datetime | None = None
    """Their last exchange is older."""

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return it as conditions on `conversations`."""
        row = conversations.c
        given: list[ColumnElement[bool]] = []
        if self.ids is not None:
            given.append(row.conversation_id.in_(self.ids))
        if self.owner is not None:
            given.append(row.owner == self.owner)
        if self.unused_since is not None:
            given.append(row.updated_at < self.unused_since)
        return given


class ConversationSummary(msgspec.Struct, frozen=True):
    """A conversation without what was said in it."""

    conversation_id: str
    owner: str
    exchanges: int
    last_model: str
    created_at: datetime
    updated_at: datetime
    """When its last exchange was kept."""
    title: str | None = None
    summarized: int | None = None
    """How many of its oldest exchanges a summary stands for in prompts."""


class ExportedExchange(msgspec.Struct, frozen=True):
    """One question and its answer, whole."""

    number: int
    model: str
    call_id: str
    created_at: datetime
    question: str
    answer: str
    reasoning: str | None


class FoundExchange(msgspec.Struct, frozen=True):
    """An exchange in which every word that was looked for occurs."""

    conversation_id: str
    title: str | None
    owner: str
    number: int
    created_at: datetime
    excerpt: str
    """What stands around the first of the words."""


class ConversationArchive:
    """Lists, searches, exports and deletes."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def listing(self, selection: Selection, most: int | None = None) -> Sequence[ConversationSummary]:
        """List conversations, the latest used first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = conversations.c
        query = (
            select(
                row.conversation_id,
                row.owner,
                row.exchanges,
                row.last_model,
                row.created_at,
                row.updated_at,
                row.title,
                row.summary_to,
            )
            .where(*selection.conditions())
            .order_by(row.updated_at.desc(), row.conversation_id)
            .limit(most)
        )
        return await self._database.read(
            lambda connection: [ConversationSummary(*found) for found in connection.execute(query)]
        )

    async def count(self, selection: Selection) -> int:
        """Count conversations.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = select(func.count()).select_from(conversations).where(*selection.conditions())
        return await self._database.read(lambda connection: connection.scalar(query) or 0)

    async def search(self, text: str, *, owner: str | None, most: int) -> Sequence[FoundExchange]:
        """Find exchanges whose question, answer or title together have every word, the latest first.

        Capitals count as small letters as far as the database knows them: SQLite those of ASCII alone.

        Raises:
            StoreFailed: the database is out of reach.
        """
        words = text.split()[:MOST_WORDS]
        said, row = exchanges.c, conversations.c
        query = (
            select(
                row.conversation_id,
                row.title,
                row.owner,
                said.number,
                said.created_at,
                said.question,
                said.answer,
            )
            .join_from(conversations, exchanges)
            .where(
                *(() if owner is None else (row.owner == owner,)),
                *(
                    or_(
                        *(
                            column.icontains(word, autoescape=True)
                            for column in (said.question, said.answer, row.title)
                        )
                    )
                    for word in words
                ),
            )
            .order_by(said.created_at.desc(), row.conversation_id, said.number)
            .limit(most)
        )
        return await self._database.read(
            lambda connection: (
                [
                    FoundExchange(*found[:5], _excerpt(f"{found.question}\n{found.answer}", words[0]))
                    for found in connection.execute(query)
                ]
                if words
                else []
            )
        )

    async def exchanges(self, conversation_id: str) -> Sequence[ExportedExchange]:
        """Read what was said in a conversation, in order.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = exchanges.c
        query = (
            select(
                row.number,
                row.model,
                row.call_id,
                row.created_at,
                row.question,
                row.answer,
                row.reasoning,
            )
            .where(row.conversation_id == conversation_id)
            .order_by(row.number)
        )
        return await self._database.read(
            lambda connection: [ExportedExchange(*found) for found in connection.execute(query)]
        )

    async def delete(self, selection: Selection) -> int:
        """Delete conversations in which no call is under way; return how many there were.

        Raises:
            StoreFailed: the database took no more deletions.
        """
        deleted = 0
        while batch := await self._database.write(_delete, selection):
            deleted += batch
        return deleted

    async def prune(self, keep_days: int) -> int:
        """Delete what was not used for so many days, 0 for never; return how many there were.

        Raises:
            StoreFailed: the database took no more deletions.
        """
        if keep_days == 0:
            return 0
        return await self.delete(Selection(unused_since=self._clock.utc() - timedelta(days=keep_days)))


def _excerpt(text: str, word: str) -> str:
    """Return what stands around the first place of a word, in one line."""
    place = max(0, text.casefold().find(word.casefold()))
    start = max(0, place - AROUND)
    cut = " ".join(text[start : place + len(word) + AROUND].split())
    return f"{'…' if start else ''}{cut}{'…' if place + len(word) + AROUND < len(text) else ''}"


_under_way = select(calls.c.conversation_id).where(
    calls.c.outcome.is_(None), calls.c.conversation_id.is_not(None)
)


@row_by_row(LockGroup.CLEANING)
def _delete(connection: Connection, selection: Selection) -> int:
    row = conversations.c
    found = connection.scalars(
        select(row.conversation_id)
        .where(*selection.conditions(), row.conversation_id.not_in(_under_way))
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    if found:
        _forget_results(connection, found)
        connection.execute(delete(conversations).where(row.conversation_id.in_(found)))
    return len(found)


def _forget_results(connection: Connection, ids: Sequence[Any]) -> None:
    row = idempotent_calls.c
    made_in = select(exchanges.c.call_id).where(exchanges.c.conversation_id.in_(ids))
    kept = (
        select(row.owner, row.idempotency_key)
        .where(row.ended_at.is_not(None), row.call_id.in_(made_in))
        .with_for_update(skip_locked=True)
    )
    connection.execute(
        update(idempotent_calls).where(tuple_(row.owner, row.idempotency_key).in_(kept)).values(result=None)
    )
