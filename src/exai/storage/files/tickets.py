"""Rows of upload tickets: each lets whoever holds it put one file of its owner, once and within minutes."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select

from exai.storage.database import Database
from exai.storage.schema import upload_tickets as tickets
from exai.storage.write_operations import LockGroup, all_at_once, row_by_row

__all__ = ["UploadTicketRow", "UploadTicketTable"]


class UploadTicketRow(msgspec.Struct, frozen=True):
    """A ticket that has not been used yet."""

    ticket_sha256: str
    owner: str
    name: str | None
    bytes: int | None
    sha256: str | None
    expires_at: datetime


class UploadTicketTable:
    """Adds tickets, and redeems each once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, row: UploadTicketRow, now: datetime) -> None:
        """Add a ticket, and delete those that have expired.

        Raises:
            StoreFailed: it was not kept.
        """
        await self._database.write(_add, (row, now))

    async def find(self, ticket_sha256: str, now: datetime) -> UploadTicketRow | None:
        """Return a ticket that is still good; `None` where there is none."""
        query = select(tickets).where(tickets.c.ticket_sha256 == ticket_sha256, tickets.c.expires_at > now)
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else UploadTicketRow(*row)

    async def take(self, ticket_sha256: str) -> bool:
        """Delete a ticket; `False` where somebody else was faster.

        Raises:
            StoreFailed: the database is out of reach.
        """
        return await self._database.write(_take, ticket_sha256)


_INSERT = insert(tickets)
_DROP = delete(tickets).where(tickets.c.expires_at <= bindparam("now"))


@all_at_once(LockGroup.TICKETS)
def _add(connection: Connection, many: list[tuple[UploadTicketRow, datetime]]) -> None:
    connection.execute(_DROP, {"now": min(now for _, now in many)})
    connection.execute(_INSERT, [msgspec.structs.asdict(row) for row, _ in many])


@row_by_row(LockGroup.TICKETS)
def _take(connection: Connection, ticket_sha256: str) -> bool:
    return bool(connection.execute(delete(tickets).where(tickets.c.ticket_sha256 == ticket_sha256)).rowcount)
